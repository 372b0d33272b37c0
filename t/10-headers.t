#!/usr/bin/perl
# Every header compiles alone, twice over, and has a guard.
use strict;
use warnings;

use MxwardenTest;
use Test::More;

need(programs => ['cc', 'pkg-config']);

my $src = src_dir();
my $build = build_dir();
my @headers = map { s{^\Q$src\E/}{}r } map { glob "$src/$_/*.h" }
    qw(lib/core lib/io policyd/daemon policyd/priv policyd/ctl);
cmp_ok(scalar @headers, '>', 50, 'headers');

my @flags;
for (qw(libevent_core hiredis libconfuse libpcre2-8 zlib)) {
	my ($status, $out) = run_cmd('pkg-config', '--cflags', $_);
	push @flags, split ' ', $out if $status == 0;
}

# One compiler for many: each header is a translation unit of its own.
my $dir = tmp_dir();
my @units;
for my $header (@headers) {
	(my $unit = $header) =~ s{[/.]}{_}g;
	spew("$dir/$unit.c", "#include \"$header\"\n#include \"$header\"\n" .
	    "int ${unit}_is_alone;\n");
	push @units, "$dir/$unit.c";

	my ($guard) = slurp("$src/$header") =~ /^#ifndef (\w+)\n#define \1\n/m;
	(my $want = uc $header) =~ s{.*/}{MXW_};
	$want =~ s/\W/_/g;
	is($guard, $want, "$header: its guard");
}
for my $i (0 .. $#units) {
	my ($status, undef, $err) = run_cmd('cc', '-std=c11', '-fsyntax-only',
		'-Wall', '-Wextra', '-Werror', @flags, '-D_GNU_SOURCE',
		'-include', "$build/config.h", "-I$src", "-I$build",
		'-DMXW_SYSCONFDIR=""', '-DMXW_STATEDIR=""',
		'-DMXW_RUNDIR=""', '-DMXW_LIBEXECDIR=""', $units[$i]);
	is("$status$err", '0', "$headers[$i] compiles alone");
}

done_testing;
