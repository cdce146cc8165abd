package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// errUTF16 says that a document is in an encoding that its format does not have.
var errUTF16 = errors.New("it is UTF-16: save it as UTF-8 (PowerShell 5 writes UTF-16 with >; use Out-File -Encoding utf8, or --out)")

// withoutMark returns text without the mark of its encoding that editors and
// PowerShell put before UTF-8. UTF-16 is an error.
func withoutMark(text []byte) ([]byte, error) {
	zero := bytes.IndexByte(text[:min(len(text), 2)], 0) >= 0 // as the first character of JSON has it without a mark
	if zero || bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil, errUTF16
	}
	return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), nil
}

// plainSecret returns the one line that a file of a secret holds: without a mark of
// its encoding, UTF-16 with such a mark decoded, without the line end after it. What
// cannot be part of a password that somebody can type is an error: sent, it would
// count as a wrong password, and some of these lock the account.
func plainSecret(data []byte) (string, error) {
	for mark, order := range map[string]binary.ByteOrder{"\xff\xfe": binary.LittleEndian, "\xfe\xff": binary.BigEndian} {
		if !bytes.HasPrefix(data, []byte(mark)) {
			continue
		}
		rest := data[len(mark):]
		if len(rest)%2 != 0 {
			return "", errors.New("it is UTF-16 that ends within a character")
		}
		units := make([]uint16, len(rest)/2)
		for i := range units {
			units[i] = order.Uint16(rest[2*i:])
		}
		data = []byte(string(utf16.Decode(units)))
		break
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	data, _ = bytes.CutSuffix(data, []byte("\n"))
	data, _ = bytes.CutSuffix(data, []byte("\r"))
	switch {
	case bytes.IndexByte(data, 0) >= 0:
		return "", errors.New("it holds zero bytes: it is no text, or UTF-16 without a mark; save it as UTF-8")
	case !utf8.Valid(data):
		return "", errors.New("it is not UTF-8: save it as UTF-8")
	case bytes.ContainsAny(data, "\r\n"):
		return "", errors.New("it holds more than one line")
	}
	return string(data), nil
}
