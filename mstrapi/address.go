package mstrapi

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"
)

// resolveMost bounds the look-up of a server's addresses.
const resolveMost = 5 * time.Second

// Addresses returns where the server of cfg is: for each network address that its
// host stands for now, address, port and base path, sorted. Two names that share
// one lead to the same server (or to names that one proxy tells apart, which cannot
// be seen from here). It returns none where the name cannot be resolved, and where
// a proxy resolves it.
func Addresses(ctx context.Context, cfg Config) []string {
	base, err := parseBaseURL(cfg.URL, true)
	if err != nil {
		return nil
	}
	if p, err := ProxyFor(cfg); err != nil || p.Address != "" {
		return nil
	}
	port := base.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[base.Scheme]
	}
	ctx, cancel := context.WithTimeout(ctx, resolveMost)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", base.Hostname())
	if err != nil {
		return nil
	}
	var out []string
	for _, ip := range found {
		ip = ip.Unmap()
		if ip.IsUnspecified() { // dialled as this machine
			if ip.Is4() {
				ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
			} else {
				ip = netip.IPv6Loopback()
			}
		}
		out = append(out, net.JoinHostPort(ip.String(), port)+base.EscapedPath())
	}
	slices.Sort(out)
	return slices.Compact(out)
}
