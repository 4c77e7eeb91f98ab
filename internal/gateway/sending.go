package gateway

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// sending passes a request's body on.
type sending struct {
	x       *exchange
	c       *conn
	proceed chan bool     // whether to begin
	over    chan struct{} // closed when the answer is complete, or will never be
	done    chan struct{} // closed when nothing reads the body any more
	whole   bool          // all of it went out; good once done is closed

	mu     sync.Mutex
	headed bool // the final answer's head came
}

// answered tells the sending of an answer's status.
func (s *sending) answered(status int) {
	if status == http.StatusContinue {
		s.begin(true)
		return
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	s.begin(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.headed {
		s.headed = true
		_ = s.c.SetReadDeadline(time.Time{})
	}
}

// lingering is how long what a client still sends is read and thrown away
// after it was answered. A connection that is closed with something unread is
// reset, and a reset may overtake the answer.
const lingering = time.Second

// end comes after the answer. It ends the sending, and says whether all of
// the body had gone out.
func (s *sending) end() bool {
	s.begin(false)
	close(s.over)
	if !s.ended(10 * time.Millisecond) { // the answer may just have been quicker than the sender's last step
		_ = s.c.Close()
		if s.x.status != 0 {
			_ = s.x.control.Flush()
			s.ended(lingering)
		}
		s.x.leaveBody()
	}
	<-s.done
	return s.whole
}

func (s *sending) ended(within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-s.done:
		return true
	case <-timer.C:
		return false
	}
}

// discard reads what comes, until [sending.end] has had enough.
func (s *sending) discard() {
	buffer := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buffer)
	for {
		if _, err := s.x.readPart(*buffer); err != nil {
			return
		}
	}
}

func (s *sending) begin(yes bool) {
	select {
	case s.proceed <- yes:
	default:
	}
}

func (s *sending) run() {
	defer close(s.done)
	if s.x.body.expects {
		timer := time.NewTimer(continueWait)
		defer timer.Stop()
		select {
		case yes := <-s.proceed:
			if !yes {
				return // answered without the body, which was not asked for
			}
		case <-timer.C:
		}
	}
	if err := s.send(); err != nil {
		if s.x.body.failed() != nil {
			_ = s.c.Close() // the app must not take what came for the whole
			return
		}
		<-s.over // whether the app answers all the same is for the reader to see
		s.discard()
		return
	}
	s.whole = true
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.headed {
		_ = s.c.SetReadDeadline(time.Now().Add(s.x.route.RequestTimeout))
	}
}

func (s *sending) send() error {
	buffer := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buffer)
	out := s.c.out
	for {
		n, readErr := s.x.readPart(*buffer)
		if n > 0 {
			_ = s.c.SetWriteDeadline(time.Now().Add(s.x.route.RequestTimeout))
			if err := s.sendPart((*buffer)[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(readErr, io.EOF):
			if s.x.body.chunkedIn {
				s.sendEnd()
			}
			return out.Flush()
		case readErr != nil:
			return readErr
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

func (s *sending) sendPart(p []byte) error {
	out := s.c.out
	if !s.x.body.chunkedIn {
		_, err := out.Write(p)
		return err
	}
	var size [18]byte
	_, _ = out.Write(append(strconv.AppendInt(size[:0], int64(len(p)), 16), '\r', '\n'))
	_, _ = out.Write(p)
	_, err := out.WriteString("\r\n")
	return err
}

// sendEnd writes the last chunk and the trailers, which are known now.
func (s *sending) sendEnd() {
	_, _ = s.c.out.WriteString("0\r\n")
	for name, values := range s.x.r.Trailer {
		if !s.x.g.own.mayTrail(name) {
			continue
		}
		for _, v := range trailing(values) {
			writeField(s.c.out, name, v)
		}
	}
	_, _ = s.c.out.WriteString("\r\n")
}
