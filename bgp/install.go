package bgp

import (
	"context"
	"fmt"

	api "github.com/osrg/gobgp/v3/api"
)

// globalTable is what GoBGP calls the RIB that is not of one peer.
const globalTable = "global"

// install compiles the policy and puts it in place of the one before: export first,
// so that a route that is already of the next generation is judged by it.
func (s *Speaker) install(ch change) error {
	s.programs++
	p, err := compile(s.programs, s.origins, ch)
	if err != nil {
		return err
	}
	ctx := context.Background()
	for _, set := range p.sets {
		if err := s.server.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: set}); err != nil {
			return fmt.Errorf("set %s %v: %w", set.Name, set.List, err)
		}
	}
	for _, side := range p.sides() {
		policy := &api.Policy{Name: side.name, Statements: side.statements}
		if err := s.server.AddPolicy(ctx, &api.AddPolicyRequest{Policy: policy}); err != nil {
			return fmt.Errorf("policy %s: %w", side.name, err)
		}
		if err := s.server.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
			Name: globalTable, Direction: side.direction, Policies: []*api.Policy{{Name: side.name}}, DefaultAction: api.RouteAction_REJECT,
		}}); err != nil {
			return fmt.Errorf("policy %s: %w", side.name, err)
		}
	}
	old := s.installed
	s.installed = p
	if old == nil {
		return nil
	}
	for _, side := range old.sides() {
		if err := s.server.DeletePolicy(ctx, &api.DeletePolicyRequest{Policy: &api.Policy{Name: side.name}, All: true}); err != nil {
			return fmt.Errorf("policy %s: %w", side.name, err)
		}
	}
	for _, set := range old.sets {
		if err := s.server.DeleteDefinedSet(ctx, &api.DeleteDefinedSetRequest{DefinedSet: set, All: true}); err != nil {
			return fmt.Errorf("set %s: %w", set.Name, err)
		}
	}
	return nil
}

type side struct {
	name       string
	direction  api.PolicyDirection
	statements []*api.Statement
}

func (p *program) sides() []side {
	return []side{
		{fmt.Sprintf("export-%d", p.version), api.PolicyDirection_EXPORT, p.exports},
		{fmt.Sprintf("import-%d", p.version), api.PolicyDirection_IMPORT, p.imports},
	}
}
