package analyze

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// chunkLines is how many lines a worker takes at a time; maxLine bounds one line, in bytes; answerSize is what an
// answer usually adds.
const (
	chunkLines = 1024
	maxLine    = 1 << 20
	answerSize = 160
)

// flowLine is what a line of input says. A field of another name is an error: it may be a misspelt one of these.
type flowLine struct {
	From           string          `json:"from"`
	To             string          `json:"to"`
	Protocol       string          `json:"protocol"`
	Port           json.RawMessage `json:"port"`
	ProtocolNumber *uint8          `json:"protocolNumber"`
	ICMP           *struct {
		Type *uint8 `json:"type"`
		Code uint8  `json:"code"`
	} `json:"icmp"`
	HTTP *Request `json:"http"`
}

// inputLine is a line, without the spaces around it, and its number in the input, from 1. A line that is too long has
// no text.
type inputLine struct {
	number int
	text   []byte
	long   bool
}

// chunk is a run of lines on its way from the reader to the writer.
type chunk struct {
	lines []inputLine
	out   []byte
	bad   int
	done  chan struct{}
}

// Flows answers JSON lines of flows, in their order. It returns how many lines could not be answered; each of those
// has an error field.
func (n *Names) Flows(ctx context.Context, w io.Writer, r io.Reader, workers int) (bad int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work, order := make(chan *chunk, workers), make(chan *chunk, 4*workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			a := &flowAnswerer{names: n, places: newPlaces(n.plan), targets: map[string]resolved{}, deciders: map[decider][]byte{}}
			for c := range work {
				c.answer(a)
				close(c.done)
			}
		})
	}
	var readErr error
	wg.Go(func() {
		defer close(order)
		defer close(work)
		readErr = readChunks(ctx, r, work, order)
	})
	out := bufio.NewWriterSize(w, 1<<16)
	for c := range order {
		<-c.done
		bad += c.bad
		if _, werr := out.Write(c.out); werr != nil && err == nil {
			err = fmt.Errorf("writing flows: %w", werr)
			cancel()
		}
	}
	wg.Wait()
	if ferr := out.Flush(); ferr != nil && err == nil {
		err = fmt.Errorf("writing flows: %w", ferr)
	}
	return bad, errors.Join(err, readErr)
}

func readChunks(ctx context.Context, r io.Reader, work, order chan<- *chunk) error {
	in := bufio.NewReaderSize(r, 1<<16)
	c := &chunk{done: make(chan struct{})}
	send := func() bool {
		select {
		case order <- c:
		case <-ctx.Done():
			return false
		}
		work <- c
		c = &chunk{done: make(chan struct{})}
		return true
	}
	var readErr error
	for number := 1; readErr == nil; number++ {
		var line inputLine
		if line, readErr = readLine(in, number); !line.long && len(line.text) == 0 {
			continue
		}
		c.lines = append(c.lines, line)
		if len(c.lines) == chunkLines && !send() {
			return ctx.Err()
		}
	}
	if len(c.lines) > 0 && !send() {
		return ctx.Err()
	}
	if !errors.Is(readErr, io.EOF) {
		return fmt.Errorf("reading flows: %w", readErr)
	}
	return ctx.Err()
}

// readLine reads the next line; what is over maxLine is read and dropped, so that the next line can be.
func readLine(in *bufio.Reader, number int) (inputLine, error) {
	line := inputLine{number: number}
	for {
		part, err := in.ReadSlice('\n')
		if line.long = line.long || len(line.text)+len(part) > maxLine; line.long {
			line.text = nil
		} else {
			line.text = append(line.text, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			line.text = bytes.TrimSpace(line.text)
			return line, err
		}
	}
}

func (c *chunk) answer(a *flowAnswerer) {
	size := 0
	for _, line := range c.lines {
		size += len(line.text) + answerSize
	}
	c.out = make([]byte, 0, size)
	for _, line := range c.lines {
		var ok bool
		if c.out, ok = a.line(c.out, line); !ok {
			c.bad++
		}
	}
	c.lines = nil
}

// resolved is the cached answer for a name.
type resolved struct {
	target *Target
	err    error
}

// maxCached bounds how many names a worker remembers.
const maxCached = 1 << 16

// flowAnswerer answers lines; each worker has its own.
type flowAnswerer struct {
	names   *Names
	places  *places
	targets map[string]resolved
	// deciders holds what decided as a JSON string; a plan has few.
	deciders map[decider][]byte
}

// decider is what an outcome's text is made of.
type decider struct {
	reason plan.Reason
	rule   plan.RuleIndex
	policy plan.PolicyIndex
}

func (a *flowAnswerer) target(name string) (*Target, error) {
	if r, ok := a.targets[name]; ok {
		return r.target, r.err
	}
	t, err := a.names.Resolve(name)
	if len(a.targets) >= maxCached {
		clear(a.targets)
	}
	a.targets[name] = resolved{t, err}
	return t, err
}

// line appends the line with its answer, or with an error. A line that is no object gets an object with its number.
func (a *flowAnswerer) line(out []byte, in inputLine) ([]byte, bool) {
	noFlow := func(err error) ([]byte, bool) {
		return appendError(fmt.Appendf(nil, `{"line":%d`, in.number), out, err), false
	}
	line := in.text
	switch {
	case in.long:
		return noFlow(fmt.Errorf("longer than %d bytes", maxLine))
	case line[0] != '{': // null among them, which Unmarshal takes for any type
		return noFlow(errors.New("not a JSON object of a flow"))
	}
	var f flowLine
	err := json.Unmarshal(line, &f)
	var mistyped *json.UnmarshalTypeError
	if err != nil && !errors.As(err, &mistyped) {
		return noFlow(fmt.Errorf("not a JSON object of a flow: %w", err))
	}
	body := withoutAnswer(line)
	if mistyped != nil {
		return appendError(body, out, wrongType(mistyped)), false
	}
	if err := badField(line); err != nil {
		return appendError(body, out, err), false
	}
	r, req, err := a.ask(&f)
	if err != nil {
		return appendError(body, out, err), false
	}
	out = append(out, body...)
	if len(body) > 1 {
		out = append(out, ',')
	}
	out = append(out, `"verdict":"`...)
	out = append(out, r.Word()...)
	out = append(out, `","egress":"`...)
	out = append(out, r.Egress.Verdict.String()...)
	out = append(out, `","ingress":"`...)
	out = append(out, r.Ingress.Verdict.String()...)
	out = append(out, `","rule":`...)
	out = append(out, a.rule(&r)...)
	out = append(out, `,"authentication":"`...)
	out = append(out, r.How...)
	out = append(out, '"')
	if audit := a.names.audit(a.places, &r, req); audit != nil {
		out = append(out, `,"audit":"`+audit.Verdict+`","auditRule":`...)
		out = appendString(out, audit.Rule)
	}
	if r.NotPortable {
		out = append(out, `,"notPortable":true`...)
	}
	return append(out, "}\n"...), true
}

func (a *flowAnswerer) ask(f *flowLine) (Reply, *plan.Request, error) {
	q := Question{}
	var err error
	if f.From == "" || f.To == "" {
		return Reply{}, nil, errors.New("a flow needs from and to")
	}
	if q.From, err = a.target(f.From); err != nil {
		return Reply{}, nil, fmt.Errorf("from: %w", err)
	}
	if q.To, err = a.target(f.To); err != nil {
		return Reply{}, nil, fmt.Errorf("to: %w", err)
	}
	if q.Port, err = f.port(); err != nil {
		return Reply{}, nil, err
	}
	if f.HTTP != nil {
		if err := f.HTTP.check(); err != nil {
			return Reply{}, nil, err
		}
		q.Request = f.HTTP.Plan()
	}
	r, err := a.names.Ask(q)
	return r, q.Request, err
}

// port reads protocol and port. A protocol is needed: only at the command line does a bare number mean TCP (S13). What does
// not go with the protocol is an error, as in a test: it may be the protocol that is wrong.
func (f *flowLine) port() (Port, error) {
	hasPort := len(f.Port) > 0 && string(f.Port) != "null"
	if f.ProtocolNumber != nil {
		if f.Protocol != "" || hasPort || f.ICMP != nil || f.HTTP != nil {
			return Port{}, errors.New("protocolNumber goes with from and to only")
		}
		return protocolOf(uint64(*f.ProtocolNumber))
	}
	space := ir.TCP
	switch {
	case f.Protocol != "":
		var err error
		if space, err = ParseProtocol(f.Protocol); err != nil {
			return Port{}, err
		}
	case f.HTTP == nil:
		return Port{}, errors.New("a flow needs a protocol: TCP, UDP, SCTP, ICMP, ICMPv6 or IP")
	}
	isICMP := space == ir.ICMPv4 || space == ir.ICMPv6
	switch {
	case isICMP && hasPort:
		return Port{}, fmt.Errorf("%s has no ports: use icmp", space)
	case isICMP && (f.ICMP == nil || f.ICMP.Type == nil):
		return Port{}, fmt.Errorf("%s needs icmp: {\"type\": …}", space)
	case isICMP:
		return Port{Space: space, Number: uint16(*f.ICMP.Type)<<8 | uint16(f.ICMP.Code)}, nil
	case f.ICMP != nil:
		return Port{}, fmt.Errorf("icmp needs protocol ICMP or ICMPv6, not %s", space)
	case !hasPort:
		return Port{}, fmt.Errorf("%s needs a port", space)
	}
	return f.portIn(space)
}

// portIn reads the port, a whole number or a text, of a protocol that has ports.
func (f *flowLine) portIn(space ir.Space) (Port, error) {
	text := string(f.Port)
	switch c := text[0]; {
	case c == '"':
		if err := json.Unmarshal(f.Port, &text); err != nil {
			return Port{}, fmt.Errorf("port: %w", err)
		}
	case c != '-' && (c < '0' || c > '9'):
		return Port{}, errors.New("port must be a number, or the name of a container port")
	case strings.Trim(text, "-0123456789") != "":
		return Port{}, fmt.Errorf("port must be a whole number, not %s", text)
	}
	return portOf(space, text)
}

// rule names what decided on the side that decided, as a JSON string: a rule, or the default.
func (a *flowAnswerer) rule(r *Reply) []byte {
	o := r.Side()
	k := decider{o.Reason, o.Rule, o.Policy}
	text, ok := a.deciders[k]
	if !ok {
		text = appendString(nil, outcomeText(a.places, o))
		a.deciders[k] = text
	}
	return text
}

// outcomeText names the rule of an outcome by its place, or the default that decided (S31).
func outcomeText(s *places, o *plan.Outcome) string {
	switch {
	case o.Rule != plan.None && o.Reason == plan.ByRule:
		return s.rule(o.Rule).Place
	case o.Rule != plan.None:
		return o.Reason.String() + " " + s.rule(o.Rule).Place
	case o.Policy != plan.None:
		return o.Reason.String() + " " + s.policy(o.Policy).Place
	}
	return o.Reason.String()
}

// answerFields are what an answer adds to a line.
var answerFields = []string{"verdict", "egress", "ingress", "rule", "authentication", "audit", "auditRule", "notPortable", "error"}

// withoutAnswer returns the line without its closing brace and without an answer that it may hold already.
func withoutAnswer(line []byte) []byte {
	for _, f := range answerFields {
		if bytes.Contains(line, []byte(`"`+f+`"`)) {
			return stripped(line)
		}
	}
	return bytes.TrimRight(line[:len(line)-1], " \t")
}

func stripped(line []byte) []byte {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return []byte("{") // the caller has read the line already
	}
	for _, f := range answerFields {
		delete(fields, f)
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return []byte("{")
	}
	return b[:len(b)-1]
}

// appendError appends an open object with an error.
func appendError(body, out []byte, err error) []byte {
	out = append(out, body...)
	if len(body) > 1 {
		out = append(out, ',')
	}
	out = append(out, `"error":`...)
	out = appendString(out, err.Error())
	return append(out, "}\n"...)
}

func appendString(out []byte, s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		return append(out, `""`...) // a string always marshals
	}
	return append(out, b...)
}
