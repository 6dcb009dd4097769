package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	// answerPoll is how often a starting server is asked: a start takes 100 ms.
	answerPoll = 10 * time.Millisecond

	// maxStarts is how often a server that ended by itself is started again before it is given up, with a second's pause between: something that outlasts five seconds, like a full disk, will not pass by itself.
	maxStarts = 5
)

// launch starts the child and returns when it answers. c.mu is held.
func (c *ClickHouse) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	child, err := c.spawn()
	if err != nil {
		return err
	}
	if err := c.awaitAnswer(ctx, child); err != nil {
		child.kill()
		return fmt.Errorf("start ClickHouse: %w: %s", err, logTail(c.cfg.LogFile, c.logStart))
	}
	c.child = child
	c.watchers.Add(1)
	go c.watch(child)
	return nil
}

func (c *ClickHouse) spawn() (*process, error) {
	command, err := c.engine.prepare(c)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(c.cfg.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse's log: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	if c.logStart, err = endOf(log); err != nil {
		return nil, err
	}
	return startProcess(log, command[0], command[1:]...)
}

// watch starts the server again if the child ends without having been asked to.
func (c *ClickHouse) watch(child *process) {
	defer c.watchers.Done()
	<-child.gone
	c.mu.Lock()
	if c.child != child { // somebody ended it on purpose
		c.mu.Unlock()
		return
	}
	c.child = nil
	c.restarts++
	cause := fmt.Errorf("ClickHouse ended by itself: %w: %s", child.err, logTail(c.cfg.LogFile, c.logStart))
	if child.err == nil {
		cause = fmt.Errorf("ClickHouse ended by itself, without an error: %s", logTail(c.cfg.LogFile, c.logStart))
	}
	err := c.relaunch()
	c.mu.Unlock()
	if c.cfg.OnRestart != nil && c.ctx.Err() == nil {
		c.cfg.OnRestart(errors.Join(cause, err))
	}
}

// relaunch tries to start the server again. c.mu is held.
func (c *ClickHouse) relaunch() error {
	for try := 1; ; try++ {
		err := c.launch(c.ctx)
		if err == nil || try == maxStarts {
			return err
		}
		if wait(c.ctx, time.Second) != nil {
			return err
		}
	}
}

// end takes the child from its watcher and ends it. c.mu is held.
func (c *ClickHouse) end(how func(*process)) {
	if child := c.child; child != nil {
		c.child = nil
		how(child)
	}
}

// awaitAnswer returns when the server answers over HTTP, which it opens last, and is the one that we started: another may sit on a port that was free a moment ago.
func (c *ClickHouse) awaitAnswer(ctx context.Context, child *process) error {
	for {
		answer, err := c.Query(ctx, "SELECT getMacro('leadhouse_instance')")
		if err == nil && answer == c.id {
			return nil
		}
		if err == nil {
			return fmt.Errorf("another server answers on %s", c.HTTPAddr())
		}
		select {
		case <-child.gone:
			return fmt.Errorf("it ended at once (%w)", child.err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(answerPoll):
		}
	}
}

// Query runs one statement over HTTP as the user default and returns the answer, tab-separated, without the last line's end. For statements with no result too.
func (c *ClickHouse) Query(ctx context.Context, sql string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.HTTPAddr()+"/", strings.NewReader(sql))
	if err != nil {
		return "", fmt.Errorf("query ClickHouse: %w", err)
	}
	req.Close = true // a kept connection would be a goroutine that nobody owns
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("query ClickHouse: %w", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return "", fmt.Errorf("read ClickHouse's answer: %w", err)
	}
	answer := strings.TrimSuffix(string(body), "\n")
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(answer)
	}
	return answer, nil
}
