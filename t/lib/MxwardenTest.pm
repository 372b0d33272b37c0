# MxwardenTest: what the Perl tests share. Core Perl only.
#
# A test starts real programs, each in a process group of its own, with its
# output in files of the test's private directory; it waits for conditions with
# a deadline and never for time to pass; and it leaves nothing behind, however
# it ends (end, die, signal). Exactly the processes that were started here are
# killed.
#
# A program that ends although nobody stopped it, or that prints a sanitizer
# report, fails the test even when all else is well.
#
#   use MxwardenTest;
#   my $d = MxwardenTest::Daemon->new(conf => { ... });
#   is($d->ask(client_address => '192.0.2.1'), 'DUNNO', '...');
#   wait_for { $d->blocked('192.0.2.1') } 10, 'the block';
#   $d->stop;
#   done_testing;
#
# Environment: MXW_SRC, MXW_BUILD (source and build directory); with
# MXW_REQUIRE_ALL set, what would be skipped fails instead; deadlines are
# multiplied by MXW_TIME_FACTOR.
package MxwardenTest;

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Path qw(remove_tree);
use File::Temp ();
use IO::Socket::IP;
use POSIX qw(WNOHANG);
use Socket qw(SOCK_STREAM);
use Test::More ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(src_dir build_dir tmp_dir free_port try_for wait_for patience
    run_cmd spawn need skip_test slurp spew append conf_text program
    have_program);

$ENV{PATH} = join ':', $ENV{PATH} // '/usr/bin:/bin', '/usr/sbin', '/sbin';
# TZ decides what RFC 3164 times mean; a test that needs another one sets it.
$ENV{TZ} = 'UTC';
$ENV{ASAN_OPTIONS} //= 'detect_leaks=1:exitcode=99';
$ENV{UBSAN_OPTIONS} //= 'print_stacktrace=1:halt_on_error=1';
delete $ENV{NOTIFY_SOCKET};
delete $ENV{LISTEN_FDS};

my $owner = $$;
my $tmp;
my @procs;    # every Proc that was started
my @cleanup;  # code to run at the end, last first

# exit() runs END, and so the cleanup; a signal alone would not.
for my $sig (qw(INT TERM HUP)) {
	$SIG{$sig} = sub { exit 1 if $$ == $owner; POSIX::_exit(1) };
}
$SIG{PIPE} = 'IGNORE';

# Absolute, because the working directory may change.
my $src = abs_path($ENV{MXW_SRC} // dirname(__FILE__) . '/../..');
my $build = abs_path($ENV{MXW_BUILD} // $src);

sub src_dir { return $src }
sub build_dir { return $build }

# A program of ours, in the build directory.
sub
program {
	my ($name) = @_;
	my $path = build_dir() . "/$name";

	croak "$path is missing: build first" if !-x $path;
	return $path;
}

sub
have_program {
	my ($name) = @_;

	for my $dir (split /:/, $ENV{PATH}) {
		return "$dir/$name" if -f "$dir/$name" && -x _;
	}
	return;
}

# The private directory. Others may walk through it: daemons under test change
# their user. The path is short, because sockets' paths must be.
sub
tmp_dir {
	if (!defined $tmp) {
		$tmp = File::Temp::tempdir('mxw-XXXXXXXX', TMPDIR => 1);
		chmod 0755, $tmp or croak "chmod $tmp: $!";
	}
	return $tmp;
}

sub
remove_tmp {
	chdir '/';
	remove_tree($tmp, { error => \my $ignored }) if defined $tmp;
	undef $tmp;
	return;
}

# Code to run at the end of the test, whatever happened.
sub at_end { push @cleanup, $_[0]; return }

# --- Skipping ---------------------------------------------------------------

sub
skip_test {
	my ($why) = @_;

	if ($ENV{MXW_REQUIRE_ALL}) {
		Test::More::plan(tests => 1);
		Test::More::fail("MXW_REQUIRE_ALL is set, but: $why");
		exit 1;
	}
	Test::More::plan(skip_all => $why);
	exit 0;
}

# need(root => 1, programs => [...]): skips the whole test unless all is there.
sub
need {
	my (%arg) = @_;

	skip_test('needs root') if $arg{root} && $> != 0;
	for my $name (@{$arg{programs} // []}) {
		skip_test("$name is not installed") if !have_program($name);
	}
	return;
}

# --- Files ------------------------------------------------------------------

sub
slurp {
	my ($path) = @_;

	open my $fh, '<:raw', $path or return;
	local $/;
	my $text = <$fh>;
	return $text // '';
}

sub
spew {
	my ($path, @text) = @_;

	open my $fh, '>:raw', $path or croak "$path: $!";
	print $fh @text or croak "$path: $!";
	close $fh or croak "$path: $!";
	return $path;
}

# One write(2): a reader sees all of it or nothing.
sub
append {
	my ($path, $text) = @_;

	open my $fh, '>>:raw', $path or croak "$path: $!";
	my $n = syswrite $fh, $text;
	croak "$path: $!" if !defined $n || $n != length $text;
	close $fh or croak "$path: $!";
	return;
}

# --- Waiting ----------------------------------------------------------------

# So many seconds, on a machine that may be slow (MXW_TIME_FACTOR).
sub
patience {
	my ($seconds) = @_;

	return $seconds * ($ENV{MXW_TIME_FACTOR} // 1);
}

# Polls until the block returns true, and returns that; false at the deadline.
# A second or more is for what must come: it says how soon that is to be expected,
# and a machine that is busy with other things gets a minute at least. Less is for
# a look at what may have come.
sub
try_for(&$) {
	my ($cond, $seconds) = @_;
	my $deadline = time + patience($seconds >= 1 && $seconds < 60 ? 60 :
	    $seconds);

	for (;;) {
		my $got = $cond->();
		return $got if $got;
		return if time > $deadline;
		reap();
		sleep 0.01;
	}
}

# The same, but the deadline is the end of the test.
sub
wait_for(&$$) {
	my ($cond, $seconds, $what) = @_;
	my $got = &try_for($cond, $seconds);

	return $got if $got;
	Test::More::diag($_->tail) for grep { $_->{pid} } @procs;
	croak "waited in vain for $what";
}

# --- Ports ------------------------------------------------------------------

my %given;

# A TCP port that nobody listens on. Below the range from which the kernel
# takes ports for connections, so that none of those comes in between.
sub
free_port {
	for (1 .. 1000) {
		my $port = 15000 + int rand 17000;
		my $ok = 1;

		next if $given{$port};
		for my $host ('127.0.0.1', '::1') {
			next if $host eq '::1' && !-e '/proc/net/if_inet6';
			my $s = IO::Socket::IP->new(LocalHost => $host,
				LocalPort => $port, Type => SOCK_STREAM,
				Listen => 1, ReuseAddr => 1);
			# A host without ::1 is no reason to refuse the port.
			$ok = 0 if !$s && $!{EADDRINUSE};
		}
		next if !$ok;
		$given{$port} = 1;
		return $port;
	}
	croak 'no free port found';
}

# --- Processes --------------------------------------------------------------

# spawn(name => ..., cmd => [...], env => {...}, cwd => ...) starts a program
# in its own process group and returns a MxwardenTest::Proc.
sub
spawn {
	my (%arg) = @_;
	my $proc = MxwardenTest::Proc->start(%arg);

	push @procs, $proc;
	return $proc;
}

# Runs a command to its end: ($status, $stdout, $stderr). The status is the
# exit status, or 128 + signal. Options: stdin => text, timeout => seconds,
# env => {...}, as a leading hash.
sub
run_cmd {
	my $opt = ref $_[0] eq 'HASH' ? shift : {};
	my @cmd = @_;
	my $proc = spawn(%$opt, name => $cmd[0], cmd => \@cmd, oneshot => 1);
	my $status = $proc->wait($opt->{timeout} // 120);
	my ($out, $err) = ($proc->stdout, $proc->stderr);

	if (!defined $status) {
		$proc->kill9;
		croak "@cmd: did not end. $err";
	}
	check_sanitizer($proc);
	unlink $proc->{out}, $proc->{err};
	@procs = grep { $_ != $proc } @procs;
	return ($status, $out, $err);
}

# Ends the process that a part of the harness has forked: $self->{pid}, once.
sub
kill_child {
	my ($self) = @_;
	my $pid = delete $self->{pid} // return;

	kill 'KILL', $pid;
	waitpid $pid, 0;
	return;
}

# Collects the status of processes that have ended.
sub
reap {
	$_->reap for @procs;
	return;
}

my %reported;

sub
check_sanitizer {
	my ($proc) = @_;
	my $text = $proc->stderr;

	return if !defined $text || $reported{$proc->{err}};
	if ($text =~ /^.*(?:ERROR: \w+Sanitizer|runtime error:).*$/m) {
		$reported{$proc->{err}} = 1;
		failure("$proc->{name}: sanitizer report", $text);
	}
	return;
}

# A failure that belongs to no check of the test's own.
sub
failure {
	my ($what, $text) = @_;

	Test::More::fail($what);
	Test::More::diag($text) if defined $text;
	return;
}

END {
	if ($$ == $owner) {
		my $status = $?;

		local $@;
		$SIG{$_} = 'IGNORE' for qw(INT TERM HUP);
		for my $proc (reverse @procs) {
			if ($proc->{oneshot}) {
				# Interrupted: nobody waits for it any more.
			} elsif (!$proc->{stopped} && !$proc->alive) {
				Test::More::diag("$proc->{name} ended unexpectedly, " .
				    "status $proc->{status}\n" . $proc->tail);
				$status ||= 1;
			}
			eval { $proc->stop_quietly; 1 } or Test::More::diag($@);
			my $text = $proc->stderr // '';
			if (!$reported{$proc->{err}} && $text =~
			    /ERROR: \w+Sanitizer|runtime error:/) {
				Test::More::diag("$proc->{name}: $text");
				$status ||= 1;
			}
		}
		for my $code (reverse @cleanup) {
			eval { $code->(); 1 } or Test::More::diag($@);
		}
		if (defined $tmp) {
			if ($ENV{MXW_KEEP}) {
				Test::More::diag("kept: $tmp");
			} else {
				remove_tmp();
			}
		}
		$? = $status;
	}
}

# --- Configuration ----------------------------------------------------------

# The value of an option as libconfuse reads it.
sub
conf_value {
	my ($v) = @_;

	return '{' . join(', ', map { conf_value($_) } @$v) . '}' if ref $v;
	return $v if $v =~ /\A(?:true|false|-?\d+(?:\.\d+)?)\z/;
	$v =~ s/([\\"])/\\$1/g;
	return qq("$v");
}

# A configuration from a hash. Values: a scalar, a list of scalars, a hash (a
# section), or a list of [title, hash] (sections with titles, in order).
# `include` is a list of files, read before the rest.
sub
conf_text {
	my ($conf, $indent) = @_;
	my $text = '';

	$indent //= '';
	for my $name (sort { ($b eq 'include') <=> ($a eq 'include') ||
	    $a cmp $b } keys %$conf) {
		my $v = $conf->{$name};
		my @sections;

		next if !defined $v;
		if ($name eq 'include') {
			$text .= qq(include("$_")\n) for @$v;
		} elsif (ref $v eq 'HASH') {
			@sections = (["$name", $v]);
		} elsif (ref $v eq 'ARRAY' && @$v && ref $v->[0] eq 'ARRAY') {
			@sections = map {
				["$name " . conf_value("$_->[0]"), $_->[1]]
			} @$v;
		} else {
			$text .= "$indent$name = " . conf_value($v) . "\n";
		}
		for my $s (@sections) {
			$text .= "$indent$s->[0] {\n" .
			    conf_text($s->[1], "$indent\t") . "$indent}\n";
		}
	}
	return $text;
}

require MxwardenTest::Proc;
require MxwardenTest::Daemon;
require MxwardenTest::Redis;
require MxwardenTest::Netns;
require MxwardenTest::Postfix;
require MxwardenTest::Dovecot;
require MxwardenTest::Socketmap;
require MxwardenTest::Smtp;
require MxwardenTest::Dns;
require MxwardenTest::Exim;
require MxwardenTest::Regex;
require MxwardenTest::Rules;
require MxwardenTest::Syslog;

1;
