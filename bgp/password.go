package bgp

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Passwords reads password files (RFC 2385) and knows what is in them by an ID
// that tells nothing about it. A file is read when Look is called, and at no other
// time.
type Passwords struct {
	key    []byte
	mu     sync.Mutex
	secret map[string]string // by ID
}

// keyName holds the key of the IDs, so that they mean the same to `plumb diff` and
// to the agent, and after a restart.
const keyName = "password.key"

// maxPassword is the kernel's limit (TCP_MD5SIG_MAXKEYLEN, include/uapi/linux/tcp.h).
const maxPassword = 80

// OpenPasswords reads the key from the state directory, or makes one there. Where
// that cannot be, the IDs are good for this process alone.
func OpenPasswords(stateDir string) (*Passwords, error) {
	p := &Passwords{secret: map[string]string{}}
	path := filepath.Join(stateDir, keyName)
	var err error
	if p.key, err = os.ReadFile(path); err == nil && len(p.key) == sha256.Size {
		return p, nil
	}
	p.key = make([]byte, sha256.Size)
	_, _ = rand.Read(p.key) // never fails
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p, fmt.Errorf("key of passwords: %w", err)
	}
	if err := os.WriteFile(path, p.key, 0o600); err != nil {
		return p, fmt.Errorf("key of passwords: %w", err)
	}
	return p, nil
}

// Look reads the file and gives the ID of the password in it, without the line's
// end. A file that others may read gives a warning beside the ID.
func (p *Passwords) Look(path string) (id, warning string, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", "", fmt.Errorf("password file: %w", err)
	}
	b = bytes.TrimRight(b, "\r\n")
	switch {
	case len(b) == 0:
		return "", "", fmt.Errorf("password file %s is empty; write the password into it", path)
	case len(b) > maxPassword:
		return "", "", fmt.Errorf("password file %s has %d bytes; TCP MD5 takes %d at most", path, len(b), maxPassword)
	case bytes.ContainsAny(b, "\n\x00"):
		return "", "", fmt.Errorf("password file %s has more than one line; write the password alone into it", path)
	}
	if i, err := os.Stat(path); err == nil && i.Mode().Perm()&0o077 != 0 {
		warning = fmt.Sprintf("password file %s can be read by others (mode %04o); chmod 600 it", path, i.Mode().Perm())
	}
	mac := hmac.New(sha256.New, p.key)
	mac.Write(b)
	id = hex.EncodeToString(mac.Sum(nil)[:6])
	p.mu.Lock()
	defer p.mu.Unlock()
	p.secret[id] = string(b)
	return id, warning, nil
}

// password gives the password that Look saw under the ID.
func (p *Passwords) password(id string) (string, bool) {
	if p == nil {
		return "", false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	secret, ok := p.secret[id]
	return secret, ok
}
