#!/usr/bin/perl
# The three programs as they were linked: position-independent, everything
# relocated read-only before main(), canaries, checked libc calls, no executable
# stack, libraries only from where the system has them. What they may do when
# they run is in 85-priv.t.
use strict;
use warnings;

use MxwardenTest;
use Test::More;

need(programs => ['readelf']);
my $makefile = slurp(build_dir() . '/Makefile');
my %flags = map { /\A(HARDEN_\w+|SAN_CFLAGS)\s*=\s*(.*)\z/ ? ($1 => $2) : () }
    split /\n/, $makefile;

# What a build leaves out on purpose is no gap: .ci/run has a build with it.
plan(skip_all => 'configured with --disable-hardening')
    if $flags{HARDEN_CFLAGS} !~ /\S/;
plan(skip_all => 'sanitizers bring their own run-time and checks')
    if $flags{SAN_CFLAGS} =~ /\S/;

# What the compiler of this machine has, configure has found out.
sub has { my ($flag) = @_; return "@flags{qw(HARDEN_CFLAGS HARDEN_LDFLAGS)}" =~
    /(?:\A|\s)\Q$flag\E(?:\s|\z)/ }

for my $name (qw(mxwardend mxwarden mxwarden-priv)) {
	my $file = program($name);
	my ($status, $elf) = run_cmd('readelf', '-hldW', '--dyn-syms', $file);

	is($status, 0, "$name: readelf") or next;
	like($elf, qr/^\s*Type:\s+DYN/m, "$name: position-independent");
	like($elf, qr/^\s*GNU_RELRO\s/m, "$name: RELRO");
	like($elf, qr/BIND_NOW|FLAGS_1\)\s.*\bNOW\b/, "$name: bound at start");
	like($elf, qr/^\s*GNU_STACK\s.*\sRW\s/m, "$name: no executable stack");
	unlike($elf, qr/^\s*LOAD\s.*\sRWE\s/m,
		"$name: nothing is both writable and executable");
	unlike($elf, qr/\((?:RPATH|RUNPATH)\)/, "$name: no library path");
	unlike($elf, qr/\(TEXTREL\)/, "$name: no text relocations");
	SKIP: {
		skip('not among the flags', 1) if !has('-fstack-protector-strong');
		like($elf, qr/\b__stack_chk_fail\b/, "$name: canaries");
	}
	SKIP: {
		skip('not among the flags', 1) if !has('-D_FORTIFY_SOURCE=2');
		skip('this libc has no checked calls', 1) if $elf !~ /GLIBC_/;
		like($elf, qr/\b__(?!stack_)\w+_chk\b/, "$name: FORTIFY");
	}
}
done_testing;
