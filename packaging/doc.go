// Package packaging owns what an operating system needs to run vippy as a service, and
// the test that keeps those files true to the daemon. It leaves building to the Makefile.
package packaging
