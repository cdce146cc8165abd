package examples_test

import (
	"regexp"
	"strings"
	"testing"
)

// A tag can be moved to an image of somebody else's: what is built from is named by
// its digest.
func TestImagesAreNamedByDigest(t *testing.T) {
	for _, file := range []string{"../Dockerfile", "ci/gitlab.Dockerfile", "cron/kubernetes.Dockerfile"} {
		found := 0
		for line := range strings.Lines(read(t, file)) {
			words := strings.Fields(line)
			if len(words) < 2 || words[0] != "FROM" {
				continue
			}
			image := words[1]
			if strings.HasPrefix(image, "--platform=") {
				image = words[2]
			}
			found++
			if image != "scratch" && !regexp.MustCompile(`^[a-z]+:[0-9][^@]*@sha256:[0-9a-f]{64}$`).MatchString(image) {
				t.Errorf("%s builds from %s, which has no version or no digest", file, image)
			}
		}
		if found == 0 {
			t.Errorf("%s builds from nothing", file)
		}
	}
}
