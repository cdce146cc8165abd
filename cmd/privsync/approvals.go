package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/executor"
	"privsync/input"
	"privsync/planner"
	"privsync/policy"
	"privsync/signature"
)

// maxSignatures bounds how many signatures beside a plan are looked at.
const maxSignatures = 200

// signerFlags say who may approve a plan, and how many of them must have.
type signerFlags struct {
	file string
	need count
}

func (s *signerFlags) register(cmd *cobra.Command) {
	s.need = count{0, 0, policy.MaxApprovals}
	fs := cmd.Flags()
	fs.StringVar(&s.file, "allowed-signers", "", "who may approve: `FILE` in the format of OpenSSH's allowed_signers")
	bindVariable(fs, "allowed-signers", "PRIVSYNC_ALLOWED_SIGNERS")
	fs.Var(&s.need, "approvals", "a saved plan needs the signatures of this many people; what the policy wants counts too")
	bindVariable(fs, "approvals", "PRIVSYNC_APPROVALS")
}

// readSigners reads a file allowed_signers, which steers the run: nobody else may
// have written it.
func (a *app) readSigners(path string) (*signature.Signers, error) {
	signers, err := await(a, func() (*signature.Signers, error) {
		f, err := input.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if err := a.trusted(executor.CheckTrustedFile(f)); err != nil {
			return nil, err
		}
		return signature.ParseSigners(path, f)
	})
	if err != nil {
		return nil, hinted(fmt.Errorf("allowed signers: %w", err), cmp.Or(hintOf(err), "name a file as ssh-keygen reads it: a line for each person, with NAME, options and public key"))
	}
	return signers, nil
}

// makerFlag says who makes, or made, a plan.
type makerFlag struct{ names string }

// makerUsage describes --maker where a plan is made.
const makerUsage = "note `NAME` as the plan's maker, who cannot approve it (default: from the CI system's variables); several names of one person are separated by commas"

func (m *makerFlag) register(cmd *cobra.Command, usage string) {
	cmd.Flags().StringVar(&m.names, "maker", "", usage)
}

// makerVariables are what CI systems call the person who started a job: GitHub,
// GitLab, Azure, Jenkins (with the plugin build-user-vars, and for pull requests).
var makerVariables = []string{
	"GITHUB_ACTOR", "GITHUB_TRIGGERING_ACTOR", "GITLAB_USER_LOGIN", "GITLAB_USER_EMAIL",
	"BUILD_REQUESTEDFOREMAIL", "BUILD_REQUESTEDFOR", "BUILD_USER_ID", "BUILD_USER_EMAIL", "CHANGE_AUTHOR", "CHANGE_AUTHOR_EMAIL",
}

// of returns who makes the plan of this run: what the flag says, or what the variables
// of CI systems do; empty where neither tells.
func (m *makerFlag) of(a *app) string {
	if m.names != "" {
		return joinNames(m.names)
	}
	var names []string
	for _, v := range makerVariables {
		if value, _ := a.env(v); value != "" {
			names = append(names, strings.ReplaceAll(value, ",", " "))
		}
	}
	return joinNames(names...)
}

// splitNames returns the names in lists that commas separate, each once.
func splitNames(lists ...string) []string {
	var names []string
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			if name = strings.TrimSpace(clean.Text(name)); name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

func joinNames(lists ...string) string { return strings.Join(splitNames(lists...), ",") }

// maker returns who made the plan, as far as the plan, if it was saved, and --maker
// tell. The flag adds to what a saved plan says: it never clears anybody.
func (r *applyRun) maker() string {
	if r.saved {
		return joinNames(r.plan.Maker, r.f.maker.names)
	}
	return r.f.maker.of(r.app)
}

// approvals is what came of the signatures beside a saved plan.
type approvals struct {
	needed  int
	counted []executor.Approval // of different people
}

// approvalHint says how a plan comes to its approvals.
const approvalHint = `have people sign it: privsync approve PLAN.json --key FILE; then apply it with --allowed-signers FILE`

// checkApprovals judges the signatures beside a saved plan, before anything is sent to
// a server: as many as the flag, the plan's policy or the policy at hand want,
// whichever wants most.
func (r *applyRun) checkApprovals(ctx context.Context) error {
	need, why := r.f.signers.need.value, "--approvals wants it"
	if !r.saved {
		if need > 0 {
			return refused(errors.New("approvals are of a saved plan, and none is given: --approvals wants "+clean.Count(need, "approval")),
				"save the plan with privsync plan --out PLAN.json, "+approvalHint)
		}
		return nil // what the policy wants of it the plan will tell
	}
	for _, a := range []*planner.Approval{r.plan.Safety.Approval, planner.ApprovalOf(r.policy)} {
		if n, because := a.Needed(r.plan); n > need {
			need, why = n, because
		}
	}
	r.signed.needed = need
	if need == 0 && r.f.signers.file == "" {
		return nil
	}
	if r.f.signers.file == "" {
		return refused(fmt.Errorf("the plan needs %s: %s; no --allowed-signers says who may approve", clean.Count(need, "approval"), why), approvalHint)
	}
	signers, err := r.readSigners(r.f.signers.file)
	if err != nil {
		return err
	}
	if need > 0 && r.maker() == "" {
		return refused(errors.New("who made the plan is not known, and nobody may approve their own plan"),
			"say who it is with apply --maker NAME, or make plans with plan --maker NAME (in CI the system tells)")
	}
	faults, err := r.countApprovals(signers)
	if err != nil {
		return err
	}
	if len(r.signed.counted) < need {
		text := fmt.Sprintf("the plan has %d of the %s that it needs: %s", len(r.signed.counted), clean.Count(need, "approval"), why)
		if len(faults) > 0 {
			text += "; " + strings.Join(faults, "; ")
		}
		return refused(errors.New(text), approvalHint)
	}
	for _, f := range faults {
		r.log.Warn("a signature beside the plan does not count", "why", f)
	}
	if need == 0 {
		return nil
	}
	return spentError(r.store.Unspent(ctx, r.dest, r.plan))
}

// spentError is err, a refusal where a run was made with the plan's approvals.
func spentError(err error) error {
	if errors.Is(err, executor.ErrSpent) {
		return refused(err, "make a new plan of what is left to do, and have it approved")
	}
	return err
}

// spend notes that this run is made with the plan's approvals.
func (r *applyRun) spend(ctx context.Context) error {
	if r.signed.needed == 0 {
		return nil
	}
	return spentError(r.store.Spend(ctx, r.plan, executor.Run{ID: r.runID, StartedAt: r.start}, r.now()))
}

// stillApproved refuses the plan if a, judged now that the server has told its names,
// wants more than was counted.
func (r *applyRun) stillApproved(a *planner.Approval) error {
	need, why := a.Needed(r.plan)
	if need <= len(r.signed.counted) && need <= r.signed.needed || need == 0 {
		return nil
	}
	if !r.saved {
		return refused(fmt.Errorf("the plan needs %s: %s; a plan that is not saved has none", clean.Count(need, "approval"), why),
			"save it with privsync plan --out PLAN.json, "+approvalHint)
	}
	return refused(fmt.Errorf("the plan has %d of the %s that it needs: %s", len(r.signed.counted), clean.Count(need, "approval"), why), approvalHint)
}

// countApprovals judges each signature beside the plan. Of each person one counts, and
// of the maker none. It returns why the others do not count.
func (r *applyRun) countApprovals(signers *signature.Signers) (faults []string, err error) {
	files, err := signatureFiles(r.file)
	if err != nil {
		return nil, err
	}
	makers := signers.People(splitNames(r.maker()))
	seen := map[string]string{} // person to the file of the signature that counted
	for _, file := range files {
		name := filepath.Base(file)
		good, err := r.verifyPlan(signers, file)
		switch {
		case errors.Is(err, signature.ErrMessage), errors.Is(err, errPlanChanged):
			return nil, refused(fmt.Errorf("plan %s: %w", r.file, err), newPlanHint)
		case err != nil:
			faults = append(faults, fmt.Sprintf("%s: %s", name, err))
		case slices.Contains(makers, good.Person):
			faults = append(faults, fmt.Sprintf("%s: %s made the plan (%s)", name, good.Name, r.maker()))
		case seen[good.Person] != "":
			faults = append(faults, fmt.Sprintf("%s: %s is the same person as that of %s", name, good.Name, seen[good.Person]))
		default:
			seen[good.Person] = name
			r.signed.counted = append(r.signed.counted, executor.Approval{By: good.Name, Key: good.Key})
		}
	}
	if len(files) == 0 {
		faults = append(faults, "no signature stands beside it ("+filepath.Base(r.file)+".NAME.sig)")
	}
	return faults, nil
}

// verifyPlan judges the signature in file over just the bytes that the plan was read from.
func (r *applyRun) verifyPlan(signers *signature.Signers, file string) (signature.Good, error) {
	text, err := readSignature(file)
	if err != nil {
		return signature.Good{}, err
	}
	var good signature.Good
	err = withSame(r.file, r.sum, func(plan io.Reader) (err error) {
		good, err = signers.Verify(plan, text, signature.Plan, r.now())
		return err
	})
	return good, err
}

var errPlanChanged = errors.New("it was changed while it was read")

// withSame calls f with the content of the file at path. The error matches
// [errPlanChanged] unless those are the bytes that sum is of.
func withSame(path string, sum [sha512.Size]byte, f func(io.Reader) error) error {
	in, err := input.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", signature.ErrMessage, err)
	}
	defer in.Close()
	hash := sha512.New()
	tee := io.TeeReader(io.LimitReader(in, planner.MaxPlanBytes+1), hash)
	why := f(tee)
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return fmt.Errorf("%w: %w", signature.ErrMessage, err)
	}
	if !bytes.Equal(hash.Sum(nil), sum[:]) {
		return errPlanChanged
	}
	return why
}

// signatureFiles returns the files of signatures beside the plan in path, sorted.
func signatureFiles(path string) ([]string, error) {
	if path == "-" {
		return nil, refused(errors.New("a plan from the standard input has no signatures beside it"), "give the plan as a file")
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, refused(errors.New("a plan from a pipe has no signatures beside it"), "give the plan as a file")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("signatures of the plan: %w", err)
	}
	var files []string
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+".")
		if ok && !e.IsDir() && (rest == "sig" || strings.HasSuffix(rest, executor.SignatureSuffix) && len(rest) > len(executor.SignatureSuffix)) {
			files = append(files, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	if len(files) > maxSignatures {
		return nil, refused(fmt.Errorf("%d signatures stand beside the plan: more than %d are not looked at", len(files), maxSignatures), "take away those that are not of this plan")
	}
	return files, nil
}

// readSignature reads a signature, which is no pipe: nobody waits for one.
func readSignature(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a plain file")
	}
	f, err := input.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, signature.MaxSize+1))
}
