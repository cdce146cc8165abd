// Package mstrtest is a simulated MicroStrategy REST server, for tests, for
// `privsync sim` and `demo`, and for benchmarks.
//
// [NewServer] makes an [http.Handler] from an [Environment]: users, nested
// groups, a privilege catalogue and who holds what. An environment is read
// from a file with [LoadEnvironment], or made by [Random] (odd names, deep
// nesting) or [Generate] (many principals). The server keeps sessions (token
// and cookies), answers lists page by page, computes effective privileges with
// their sources through nested groups, and applies PATCH requests.
//
// Tests look behind the API: [Server.Direct] and [Server.Effective] are the
// true state, [Server.Log] is every request, [Server.Losses] is every
// effective privilege that a write took away from anybody, and
// [Server.LossesInPassing] those that came back. [Server.Inject] adds faults,
// [Quirks] choose among the readings of what the vendor's documents leave
// open. [Server.Transport] serves without a network, for use in a
// testing/synctest bubble.
//
// The behaviour is that of the documents in the contract test's testdata.
// What the package does not do: objects other than users and groups, changes
// other than those of privileges, and any claim about what a real server does
// where the vendor does not say.
package mstrtest
