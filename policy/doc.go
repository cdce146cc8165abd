// Package policy turns policy files into a validated [Policy], in which every
// name still knows its place in a file.
//
// [Load] reads files and folders, [Parse] the bytes of one file. Reading goes in
// four steps. The bytes become YAML nodes; of a large file the list of
// principals is cut into chunks, so that its nodes are never all in memory. The
// nodes of each file are read key by key with strict rules: these report nearly
// everything, at the offending scalar, with a suggestion where a name is nearly
// right. What they accept is held against the JSON Schema that editors use, as a
// net. Last, the files are put together: what is given once for all, sets,
// overlays, and whatever is named twice. All steps report into one list, the
// [Problems], so that one run tells everything that is wrong.
//
// [Policy.CheckCatalogue] judges a policy by a server's catalogue of privileges.
//
// The package reads no network, knows no server, and decides nothing about
// grants: that is the business of package planner.
package policy
