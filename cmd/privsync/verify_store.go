package main

import (
	"context"
	"errors"
	"fmt"

	"privsync/executor"
	"privsync/executor/pgstore"
	"privsync/signature"
)

// verifyStore checks and shows the chains in the store.
func (a *app) verifyStore(ctx context.Context, f *verifyFlags) error {
	if !f.state.shared() {
		return hinted(errors.New("no reports given"), "name the folder that --report-dir names, or a store with --state or PRIVSYNC_STATE")
	}
	if f.accept || f.prune.given() {
		return hinted(errors.New("--accept-newer and --prune-before are for folders: reports in a store stay, and none stands after the newest"), "leave them out")
	}
	signer, err := f.key.signer(a)
	if err != nil {
		return err
	}
	var signers *signature.Signers
	if f.allow != "" {
		if signers, err = a.readSigners(f.allow); err != nil {
			return err
		}
	}
	access := pgstore.Reading
	if signer != nil {
		access = pgstore.Writing
	}
	store, err := f.state.postgres(a, access)
	if err != nil {
		return err
	}
	chain, by, newest, err := a.chainsOf(ctx, store, signers)
	if err != nil {
		return storeError(err)
	}
	end := f.judge(chain)
	if end == nil && signer != nil && newest != "" {
		if err := store.SignHead(ctx, newest, signer); err != nil {
			return storeError(err)
		}
		a.say("signed the head of the chain")
		if chain, by, _, err = a.chainsOf(ctx, store, signers); err != nil {
			return storeError(err)
		}
		end = f.judge(chain)
	}
	return a.showVerified(f, chain, by, 0, end)
}

// chainsOf checks all chains of the store, and puts them one after the other. Newest is the
// digest of the newest report of that which runs add to.
func (a *app) chainsOf(ctx context.Context, store *pgstore.Store, signers *signature.Signers) (all *executor.Chain, by sealedBy, newest string, err error) {
	names, err := store.Chains(ctx)
	if err != nil {
		return nil, by, "", err
	}
	all, by = new(executor.Chain), sealedBy{reports: map[string]string{}}
	for _, name := range names {
		chain, err := store.Verify(ctx, name)
		if err != nil {
			return nil, by, "", err
		}
		var signed sealedBy
		if signers != nil {
			files, err := store.Signed(ctx, name)
			if err != nil {
				return nil, by, "", err
			}
			signed = a.checkSignatures(files, chain, signers)
		}
		for _, l := range chain.Links {
			who := signed.reports[l.File]
			l.File = pgstore.Qualified(name, l.File)
			if who != "" {
				by.reports[l.File] = who
			}
			all.Links = append(all.Links, l)
		}
		all.Pruned += chain.Pruned
		all.Checkpoint, all.Digest, by.head, newest = chain.Checkpoint, chain.Digest, signed.head, chain.Digest
	}
	return all, by, newest, nil
}

// sayStored says whether the report in the store is a sound link of its chain.
func (a *app) sayStored(ctx context.Context, store *pgstore.Store, e pgstore.Entry) error {
	chain, err := store.Verify(ctx, e.Chain)
	if err != nil {
		return storeError(err)
	}
	if len(chain.Broken()) > 0 || !chain.Holds(e.Digest) {
		a.log.Warn("the report does not belong to a whole chain of reports", "store", store.String(), "do", "privsync verify-reports --state …")
		return nil
	}
	a.say("the report belongs to the chain of reports in %s, which is whole", store)
	return nil
}

// storedReport reads the report that name names in the store.
func (a *app) storedReport(ctx context.Context, state *stateFlags, name string) (*executor.Report, error) {
	store, err := state.postgres(a, pgstore.Reading)
	if err != nil {
		return nil, err
	}
	doc, e, err := store.Find(ctx, name)
	if err != nil {
		return nil, hinted(storeError(err), "name a file, or a report of the store by the name that stderr gave it, by its digest, or by the id of its run")
	}
	f, err := doc.Open()
	if err != nil {
		return nil, storeError(err)
	}
	defer f.Close()
	report, err := await(a, func() (*executor.Report, error) { return executor.ReadReport(f) })
	if err != nil {
		return nil, fmt.Errorf("report %s: %w", doc.Name, err)
	}
	return report, a.sayStored(ctx, store, e)
}
