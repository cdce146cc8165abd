// Package mstrapi is the client of the MicroStrategy Library REST API, as far as
// reading who may do what, and granting and revoking privileges, needs it.
//
// [OpenReader] and [OpenWriter] take a [Config], log in and return a client;
// Close logs out. A [Reader] has only methods that read: a caller that holds
// nothing else cannot change anything on the server. A [Writer] embeds a Reader
// and adds the two requests that write, [Writer.PatchPrivileges] and
// [Writer.SubmitCommand]. [ServerStatus] asks a server for its versions without
// a login. [Writer.KeepLock] keeps the server's own lock while changes are sent. All
// methods may be called concurrently.
//
// Every request goes through one pipeline (client.do) that adds the session,
// waits for its turn, sends, reads a bounded body, decodes it strictly,
// classifies what went wrong and repeats what is worth repeating. Endpoint
// methods build a path, call the pipeline and return.
//
//   - A read is repeated after connection errors, 408, 429, 500, 502, 503, 504
//     and after an answer that is no complete, well-formed document. When that
//     persists the error matches [ErrIncomplete]: data that did not arrive is
//     never taken for data that is not there.
//   - A write is repeated only when the server surely did not act on it.
//     Otherwise [OutcomeUnknown] tells the caller to read before concluding.
//   - A lost session is renewed by one login for all callers.
//   - One pacer counts every request; when the server says slow down, everyone
//     waits.
//
// Failed requests are [*Error]; [IsNotFound], [IsRouteMissing], [IsForbidden]
// and [IsAuth] classify them.
//
// The package decides nothing about privileges, keeps nothing on disk and never
// follows a redirect. It knows no other package of this module.
package mstrapi
