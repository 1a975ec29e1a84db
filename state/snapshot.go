package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Snapshot is a set of objects by key: what is wanted, or what there is.
type Snapshot map[Key]Object

// Put adds objects, in place of those with the same keys.
func (s Snapshot) Put(objects ...Object) {
	for _, o := range objects {
		s[o.Key()] = o
	}
}

// Sorted gives the objects in the order of kinds, then of their IDs.
func (s Snapshot) Sorted() []Object {
	out := make([]Object, 0, len(s))
	for _, o := range s {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b Object) int { return CompareKeys(a.Key(), b.Key()) })
	return out
}

// kinds in the order in which objects are made.
var kinds = []Kind{
	KindLink, KindAddress, KindSysctl, KindFDB, KindNeigh, KindRoute,
	KindTable, KindSet, KindChain, KindRule, KindElement,
	KindBGP, KindBGPFilter, KindBGPPrefix, KindBGPPeer,
}

// Kinds gives all kinds, in the order in which objects are made.
func Kinds() []Kind { return slices.Clone(kinds) }

// Rank is a kind's place in the order in which objects are made; they are
// deleted in the reverse order.
func (k Kind) Rank() int { return slices.Index(kinds, k) }

// CompareKeys orders keys by the rank of their kinds, then by ID, numbers within
// an ID by their value.
func CompareKeys(a, b Key) int {
	if d := a.Kind.Rank() - b.Kind.Rank(); d != 0 {
		return d
	}
	return compareNatural(a.ID, b.ID)
}

func compareNatural(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		switch {
		case na == 0 || nb == 0:
			if a[0] != b[0] {
				return int(a[0]) - int(b[0])
			}
			a, b = a[1:], b[1:]
		case na != nb:
			return na - nb
		default:
			if d := strings.Compare(a[:na], b[:nb]); d != 0 {
				return d
			}
			a, b = a[na:], b[nb:]
		}
	}
	return len(a) - len(b)
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

type kindObject struct {
	Kind   Kind            `json:"kind"`
	Object json.RawMessage `json:"object"`
}

// MarshalJSON gives the objects as a sorted list of {"kind": …, "object": …}.
func (s Snapshot) MarshalJSON() ([]byte, error) {
	list := make([]kindObject, 0, len(s))
	for _, o := range s.Sorted() {
		b, err := json.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.Key(), err)
		}
		list = append(list, kindObject{o.Key().Kind, b})
	}
	return json.Marshal(list)
}

// UnmarshalJSON reads what MarshalJSON wrote; an unknown kind or field is an error.
func (s *Snapshot) UnmarshalJSON(b []byte) error {
	var list []kindObject
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	if list == nil {
		return errors.New("it holds no list of objects")
	}
	*s = make(Snapshot, len(list))
	for i, ko := range list {
		o, err := decodeObject(ko)
		if err != nil {
			return fmt.Errorf("object %d: %w", i, err)
		}
		s.Put(o)
	}
	return nil
}

func decodeObject(ko kindObject) (Object, error) {
	switch ko.Kind {
	case KindLink:
		return decode[Link](ko)
	case KindAddress:
		return decode[Address](ko)
	case KindSysctl:
		return decode[Sysctl](ko)
	case KindFDB:
		return decode[FDB](ko)
	case KindNeigh:
		return decode[Neigh](ko)
	case KindRoute:
		return decode[Route](ko)
	case KindTable:
		return decode[Table](ko)
	case KindSet:
		return decode[Set](ko)
	case KindChain:
		return decode[Chain](ko)
	case KindRule:
		return decode[Rule](ko)
	case KindElement:
		return decode[Element](ko)
	case KindBGP:
		return decode[BGPSpeaker](ko)
	case KindBGPFilter:
		return decode[BGPFilter](ko)
	case KindBGPPeer:
		return decode[BGPPeer](ko)
	case KindBGPPrefix:
		return decode[BGPPrefix](ko)
	}
	return nil, fmt.Errorf("unknown kind %q", ko.Kind)
}

func decode[O Object](ko kindObject) (Object, error) {
	var o O
	d := json.NewDecoder(bytes.NewReader(ko.Object))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return nil, fmt.Errorf("%s: %w", ko.Kind, err)
	}
	return o, nil
}
