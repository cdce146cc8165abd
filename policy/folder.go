package policy

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"privsync/clean"
)

// foundFile is a policy file in a folder.
type foundFile struct {
	path string
	info fs.FileInfo
}

const (
	// maxFolderFiles bounds what one folder may hold: more is not a policy but the
	// wrong folder.
	maxFolderFiles = 100_000
	// maxPassedOver is how many of the files that are passed over are named.
	maxPassedOver = 10
)

// readFolder returns the policy files in the folder root and below, by path. It
// reports a folder that has none, and in warned what is not read: a file that
// somebody moved or renamed takes its principals out of the policy.
func readFolder(root string, out, warned *collector) []foundFile {
	var files []foundFile
	var passed []string
	mistakes, entries, more := out.count(), 0, 0
	pass := func(path, why string) {
		if len(passed) == maxPassedOver {
			more++
			return
		}
		if rel, err := filepath.Rel(root, path); err == nil {
			path = rel
		}
		passed = append(passed, fmt.Sprintf("%s (%s)", clean.Quote(cut(path)), why))
	}
	_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			out.add(Position{File: path}, "", reason(err))
			if e != nil && e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if path == root {
			return nil
		}
		if entries++; entries > maxFolderFiles {
			out.add(Position{File: root}, "name the policy's own folder", fmt.Sprintf("the folder holds more than %d files", maxFolderFiles))
			return fs.SkipAll
		}
		ext := strings.ToLower(filepath.Ext(path))
		isPolicy := ext == ".yaml" || ext == ".yml"
		if strings.HasPrefix(e.Name(), ".") {
			if !strings.HasPrefix(e.Name(), "..") { // a ConfigMap's own, which its links lead to
				pass(path, "hidden")
			}
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if e.IsDir() {
			return nil
		}
		info, err := os.Stat(path)
		switch {
		case err != nil && isPolicy:
			out.add(Position{File: path}, "", reason(err))
		case err != nil:
			pass(path, "a link that leads nowhere")
		case info.IsDir():
			pass(path, "a link to a folder")
		case ext == ".json" && info.Mode().IsRegular() && isLicenceMap(path):
			// Kept beside the policy, which has a key for it.
		case !isPolicy:
			pass(path, "other ending")
		default:
			files = append(files, foundFile{path, info})
		}
		return nil
	})
	if len(files) == 0 && out.count() == mistakes {
		out.add(Position{File: root}, "", "the folder holds no *.yaml and no *.yml file")
	}
	if len(passed) > 0 {
		text := "not read: " + strings.Join(passed, ", ")
		if more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		warned.add(Position{File: root}, "", text)
	}
	return files
}
