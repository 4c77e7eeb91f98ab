package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"berth/internal/deploy"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help tells where to put the code.
func (*completionCommand) Help() string {
	return `Add one of these to the shell's start-up file:
  bash: source <(berth completion bash)
  zsh:  source <(berth completion zsh)
  fish: berth completion fish | source`
}

// The shells ask "berth __complete -- WORDS", whose last word is being typed.
var completionCode = map[string]string{
	"bash": `_berth() {
  local IFS=$'\n'
  COMPREPLY=($(berth __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _berth berth
`,
	"zsh": `#compdef berth
_berth() {
  local -a found
  found=("${(@f)$(berth __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "$found" ]]; then compadd -a found; else _files; fi
}
compdef _berth berth
`,
	"fish": `complete -c berth -f -a '(set -l words (commandline -opc) (commandline -ct); berth __complete -- $words[2..-1] 2>/dev/null)'
`,
}

// Run prints the code.
func (cmd *completionCommand) Run(o *output) error {
	_, err := io.WriteString(o.out, completionCode[cmd.Shell])
	return err
}

type completeCommand struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

// completionPatience is how long the server may take to name projects.
const completionPatience = 2 * time.Second

// Run prints what the last word may become, one a line.
func (cmd *completeCommand) Run(ctx context.Context, k *kong.Context, g *globals, p *process, o *output) error {
	words := cmd.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	typed := ""
	if len(words) > 0 {
		words, typed = words[:len(words)-1], words[len(words)-1]
	}
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	for _, candidate := range candidates(k.Model.Node, words, typed, func(kind string, positionals []string) []string {
		c, err := connect(g, p)
		if err != nil {
			return nil
		}
		return named(ctx, c, kind, positionals)
	}) {
		if strings.HasPrefix(candidate, typed) {
			o.printf("%s\n", oneLine(candidate))
		}
	}
	return nil
}

// candidates walks the words before the one being typed, and gives what may
// come next: subcommands, flags, a flag's values, or names from the server.
func candidates(node *kong.Node, words []string, typed string, lookUp func(kind string, positionals []string) []string) []string {
	flags := map[string]*kong.Flag{}
	learn := func(n *kong.Node) {
		for _, f := range n.Flags {
			flags["--"+f.Name] = f
			if f.Short != 0 {
				flags["-"+string(f.Short)] = f
			}
		}
	}
	enter := func(n *kong.Node) {
		node = n
		learn(n)
		if n.DefaultCmd != nil { // it takes what names no subcommand
			learn(n.DefaultCmd)
		}
	}
	enter(node)
	var positionals []string
	var open *kong.Flag // takes the next word as its value
	for _, word := range words {
		switch {
		case open != nil:
			open = nil
		case strings.HasPrefix(word, "-"):
			if f := flags[word]; f != nil && !f.IsBool() {
				open = f
			}
		default:
			if child := childNamed(node, word); child != nil && len(positionals) == 0 {
				enter(child)
				continue
			}
			if node.DefaultCmd != nil {
				enter(node.DefaultCmd)
			}
			positionals = append(positionals, word)
		}
	}
	switch {
	case open != nil:
		return slices.DeleteFunc(open.EnumSlice(), func(value string) bool { return value == "" })
	case strings.HasPrefix(typed, "-"):
		return flagNames(flags)
	}
	var names []string
	if len(positionals) == 0 && len(node.Children) > 0 {
		names = childNames(node)
		if node = node.DefaultCmd; node == nil {
			return names
		}
	}
	if len(positionals) < len(node.Positional) {
		next := node.Positional[len(positionals)]
		if kind := next.Tag.Get("predictor"); kind != "" {
			return append(names, lookUp(kind, positionals)...)
		}
		return append(names, next.EnumSlice()...)
	}
	return names
}

func childNamed(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name || slices.Contains(child.Aliases, name) {
			return child
		}
	}
	return nil
}

func childNames(node *kong.Node) (list []string) {
	for _, child := range node.Children {
		if !child.Hidden {
			list = append(list, child.Name)
		}
	}
	return list
}

func flagNames(flags map[string]*kong.Flag) (list []string) {
	for name, f := range flags {
		if strings.HasPrefix(name, "--") && !f.Hidden {
			list = append(list, name)
		}
	}
	return list
}

// named asks the server for the names of projects, or of a project's stages.
// A shell that completes shows no errors.
func named(ctx context.Context, c *client, kind string, positionals []string) (names []string) {
	switch kind {
	case "project":
		var list page[deploy.ProjectStatus]
		_ = c.get(ctx, "/api/projects?limit=200", &list)
		for _, p := range list.Items {
			names = append(names, p.Name)
		}
	case "stage":
		var p deploy.ProjectStatus
		_ = c.get(ctx, pathf("/api/projects/%s", positionals[0]), &p)
		for _, s := range p.Stages {
			names = append(names, s.Name)
		}
	}
	return names
}
