package planner

import (
	"fmt"

	"privsync/policy"
)

// describeSpared tells what o keeps although nothing lists it for o: the policy
// lists it for somebody whom the server does not have, who may be o by another
// name.
func (d *draft) describeSpared(o *Observed, w *want) {
	if w.settings.Mode != policy.Authoritative {
		return
	}
	spared := w.spared.Intersect(o.Direct)
	if spared.IsEmpty() {
		return
	}
	who := o.Principal
	d.findings = append(d.findings, Finding{
		Code: CodeUnknownPrincipal, Severity: SeverityWarning, Principal: &who, Privilege: d.c.cat.only(spared), Position: d.c.entryPosition(w),
		Message: fmt.Sprintf("the revoke of %s from %s is not planned: the policy lists it for a %s that the server does not have, who may go by this name now",
			d.c.cat.some(spared), who.label(), who.Kind),
	})
}
