//go:build unix

package executor

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"privsync/clean"
)

// noFollow are the flags that open a file without following a link in the place of
// its name, and without waiting for whoever holds the other end of a pipe.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// untrusted returns why what info describes is not the user's and root's alone,
// or "". Above says that it is only on the way to something: a folder to which others may
// add but in which they can rename nothing is then fine.
func untrusted(info fs.FileInfo, above bool) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "does not tell whose it is"
	}
	if stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		return "belongs to " + userName(stat.Uid)
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0, above && info.Mode()&fs.ModeSticky != 0:
		return "" // a link has no mode that counts
	case info.Mode().Perm()&0o002 != 0:
		return writable + "everybody"
	case othersHave(info, 0o2):
		return writable + "the group " + groupName(stat.Gid)
	}
	return ""
}

// othersHave reports whether the mode gives the permission (4 read, 2 write) to
// anybody but the owner, root, and a group without other members.
func othersHave(info fs.FileInfo, permission fs.FileMode) bool {
	mode := info.Mode().Perm()
	if mode&permission != 0 {
		return true
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return mode&(permission<<3) != 0 && (!ok || !aloneIn(stat.Gid))
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return fmt.Sprintf("user %s (%s)", id, clean.Quote(u.Username))
	}
	return "user " + id
}

func groupName(gid uint32) string {
	id := strconv.FormatUint(uint64(gid), 10)
	if g, err := user.LookupGroupId(id); err == nil {
		return fmt.Sprintf("%s (%s)", id, clean.Quote(g.Name))
	}
	return id
}

// aloneIn reports whether nobody but the user and root is in the group: neither
// among its members nor by a primary group. It reads the two files themselves,
// for no function lists the members of a group; where accounts come from elsewhere
// as well (LDAP, a domain) it cannot know, and the answer is no.
func aloneIn(gid uint32) bool {
	if accountsElsewhere() {
		return false
	}
	self, err := user.LookupId(strconv.Itoa(os.Geteuid()))
	trusted := []string{"", "root"}
	if err == nil {
		trusted = append(trusted, self.Username)
	}
	id := strconv.FormatUint(uint64(gid), 10)
	alone := true
	accounts := func(path string, do func(fields []string)) {
		f, err := os.Open(path)
		if err != nil {
			return // a container may have no accounts at all
		}
		defer f.Close()
		s := bufio.NewScanner(f)
		for s.Scan() {
			if fields := strings.Split(s.Text(), ":"); len(fields) > 3 {
				do(fields)
			}
		}
		alone = alone && s.Err() == nil
	}
	accounts("/etc/group", func(f []string) {
		if f[2] == id {
			alone = alone && !slices.ContainsFunc(strings.Split(f[3], ","), func(name string) bool { return !slices.Contains(trusted, name) })
		}
	})
	accounts("/etc/passwd", func(f []string) {
		if f[3] == id && f[2] != "0" && f[2] != strconv.Itoa(os.Geteuid()) {
			alone = false
		}
	})
	return alone
}

// accountsElsewhere reports whether users or groups of this machine may come from
// more than its files.
func accountsElsewhere() bool {
	f, err := os.Open("/etc/nsswitch.conf")
	if err != nil {
		return false
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		text, _, _ := strings.Cut(s.Text(), "#")
		database, sources, _ := strings.Cut(text, ":")
		if d := strings.TrimSpace(database); d != "passwd" && d != "group" {
			continue
		}
		for _, source := range strings.Fields(sources) {
			// systemd's are accounts of its services, which have a group each.
			if !slices.Contains([]string{"files", "compat", "systemd", "altfiles"}, source) && !strings.HasPrefix(source, "[") {
				return true
			}
		}
	}
	return s.Err() != nil
}
