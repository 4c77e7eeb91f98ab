package gateway

import (
	"net/url"

	"berth/internal/fault"
)

// Readings gives the path of a request target, such as "/x?y", and the other
// ways in which an app may read it: what counts for who may enter. It fails
// for one that the gateway would refuse.
func Readings(target string) (path string, others []string, err error) {
	u, err := url.ParseRequestURI(target)
	if err != nil || target[0] != '/' {
		return "", nil, fault.InvalidFields([]fault.Field{{Name: "path", Message: "is a path such as /admin"}})
	}
	r, safe := read(u)
	if !safe {
		return "", nil, fault.InvalidFields([]fault.Field{{Name: "path", Message: "can be read in more than one way, so the gateway refuses it"}})
	}
	return r.path, r.others(), nil
}

// others are the readings beside the first.
func (r readings) others() (list []string) {
	for _, other := range []string{r.literal, r.merged} {
		if other != "" {
			list = append(list, other)
		}
	}
	return list
}
