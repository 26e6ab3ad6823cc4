// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools names the command that test_h2spec.py builds, so that go.mod and go.sum pin it.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
