package main

import (
	"fmt"
	"os"

	"berth/internal/fault"
	"berth/internal/settings"
)

type configCommand struct{}

// Help tells where settings come from.
func (*configCommand) Help() string {
	return `Settings are BERTH_* variables of the environment, over the file .env of the working directory (or the one BERTH_ENV_FILE names), over defaults. Each can also be given as BERTH_…_FILE: the name of a file that holds the value.

This reads them as "berth serve" would here and now; "berth system settings" asks a running server.`
}

// Run shows the settings in force.
func (*configCommand) Run(g *globals, o *output, p *process) error {
	s, err := loadSettings(g, p)
	if err != nil {
		return err
	}
	values := s.Describe()
	return o.result(values, func() {
		o.settings(values)
		for _, w := range s.Warnings {
			o.note("warning: %s", w)
		}
	})
}

func (o *output) settings(values []settings.Value) {
	rows := make([][]string, len(values))
	for i, v := range values {
		rows[i] = []string{v.Name, v.Value, v.Source, v.Help}
	}
	o.table([]string{"variable", "value", "from", "what it is"}, rows)
}

// loadSettings reads the settings of this folder, with the flags over them.
func loadSettings(g *globals, p *process) (*settings.Settings, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the working directory: %w", err)
	}
	s, err := settings.Load(g.environ(p), dir)
	if err != nil {
		return nil, fault.Invalid("%v", err).Because(err)
	}
	return s, nil
}
