package main

import (
	"context"
	"net/http"
	"time"

	"berth/internal/api"
)

// listSessions lists somebody's sessions: one's own, or those of a person.
func listSessions(ctx context.Context, c *client, o *output, path string) error {
	var list page[api.Session]
	if err := c.get(ctx, path, &list); err != nil {
		return err
	}
	return o.result(list.Items, func() { o.sessions(list.Items) })
}

func (o *output) sessions(list []api.Session) {
	rows := make([][]string, len(list))
	for i, s := range list {
		rows[i] = []string{
			s.ID, s.Address, s.Provider, ago(s.CreatedAt, time.Now()), ago(s.LastSeenAt, time.Now()),
			s.ExpiresAt.Local().Format("2006-01-02 15:04"), s.UserAgent,
		}
	}
	o.table([]string{"session", "address", "provider", "signed in", "used", "ends at the latest", "browser"}, rows)
}

// endSession ends one of the sessions that path lists.
func endSession(ctx context.Context, c *client, o *output, path, id string) error {
	if err := c.call(ctx, http.MethodDelete, path+pathf("/%s", id), nil, nil); err != nil {
		return err
	}
	return o.result(map[string]string{"ended": id}, func() { o.printf("Session %s has ended.\n", id) })
}
