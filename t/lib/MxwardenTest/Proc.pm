# Proc: one program that the test started, in its own process group.
#
#   running --stop/kill9--> stopped
#      \----- by itself ---> ended (a failure, unless it is a oneshot)
#
# Output goes to files: a program never blocks on a reader, and all that it
# said can be looked at afterwards.
package MxwardenTest::Proc;

use strict;
use warnings;

use Carp qw(croak);
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

my $serial = 0;

sub
start {
	my ($class, %arg) = @_;
	my @cmd = @{$arg{cmd}};
	my ($name) = $arg{name} =~ m{([^/]+)\z};
	my $base = MxwardenTest::tmp_dir() . "/proc-" . ++$serial . "-$name";
	my $self = bless { name => $name, out => "$base.out",
		err => "$base.err", oneshot => $arg{oneshot} }, $class;

	pipe my $status_r, my $status_w or croak "pipe: $!";
	my $in = defined $arg{stdin} ?
	    MxwardenTest::spew("$base.in", $arg{stdin}) : '/dev/null';
	my $pid = fork // croak "fork: $!";
	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
		setpgrp 0, 0;
		chdir $arg{cwd} if defined $arg{cwd};
		%ENV = (%ENV, %{$arg{env}}) if $arg{env};
		close $status_r;
		if (open(STDIN, '<', $in) && open(STDOUT, '>>', "$base.out") &&
		    open(STDERR, '>>', "$base.err")) {
			no warnings 'exec';
			exec { $cmd[0] } @cmd;
		}
		syswrite $status_w, "$!";
		POSIX::_exit(127);
	}
	close $status_w;
	# Closed by a successful exec; says why otherwise.
	my $failed = do { local $/; <$status_r> };
	if (defined $failed && length $failed) {
		waitpid $pid, 0;
		croak "cannot run $cmd[0]: $failed";
	}
	$self->{pid} = $self->{pgid} = $pid;
	return $self;
}

sub pid { return $_[0]{pid} }
sub stdout { return MxwardenTest::slurp($_[0]{out}) }
sub stderr { return MxwardenTest::slurp($_[0]{err}) }

# The end of what it said, for a failure's report.
sub
tail {
	my ($self) = @_;
	my @lines = split /\n/, ($self->stdout // '') . ($self->stderr // '');

	splice @lines, 0, @lines - 30 if @lines > 30;
	return "$self->{name}: last output\n" . join '', map { "  $_\n" } @lines;
}

sub
reap {
	my ($self) = @_;

	return if !$self->{pid};
	if (waitpid($self->{pid}, WNOHANG) == $self->{pid}) {
		$self->{status} = $? & 127 ? 128 + ($? & 127) : $? >> 8;
		delete $self->{pid};
	}
	return;
}

sub
alive {
	my ($self) = @_;

	$self->reap;
	return defined $self->{pid};
}

# The exit status (128 + signal), or undef if it has not ended by then.
sub
wait {
	my ($self, $seconds) = @_;
	my $deadline = time + $seconds * ($ENV{MXW_TIME_FACTOR} // 1);
	my $nap = 0.001;

	while ($self->alive) {
		return if time > $deadline;
		sleep $nap;
		$nap *= 2 if $nap < 0.01;
	}
	return $self->{status};
}

sub
signal {
	my ($self, $sig) = @_;

	croak "$self->{name} is not running" if !$self->alive;
	kill $sig, $self->{pid} or croak "kill $sig $self->{name}: $!";
	return;
}

# The rest of its process group: children it left behind.
sub
sweep {
	my ($self) = @_;

	kill 'KILL', -$self->{pgid} if $self->{pgid} && !$self->{pid};
	delete $self->{pgid} if !$self->{pid};
	return;
}

# SIGTERM; the exit status. A program that ignores it fails the test.
sub
stop {
	my ($self, %arg) = @_;
	my $status;

	if (!$self->alive) {
		MxwardenTest::failure("$self->{name} ended unexpectedly, " .
		    "status $self->{status}", $self->tail)
		    if !$self->{stopped};
		$self->{stopped} = 1;
		MxwardenTest::check_sanitizer($self);
		return $self->{status};
	}
	$self->{stopped} = 1;
	$self->signal($arg{signal} // 'TERM');
	$status = $self->wait($arg{seconds} // 20);
	if (!defined $status) {
		MxwardenTest::failure("$self->{name} does not stop", $self->tail);
		$self->kill9;
	}
	$self->sweep;
	MxwardenTest::check_sanitizer($self);
	return $status;
}

sub
kill9 {
	my ($self) = @_;

	$self->{stopped} = 1;
	if ($self->alive) {
		kill 'KILL', $self->{pid};
		waitpid $self->{pid}, 0;
		$self->{status} = 128 + 9;
		delete $self->{pid};
	}
	$self->sweep;
	return;
}

# At the end of the test: without a word, without a failure.
sub
stop_quietly {
	my ($self) = @_;

	if ($self->alive) {
		kill 'CONT', $self->{pid};
		kill 'TERM', $self->{pid};
		$self->wait(5) // $self->kill9;
	}
	$self->sweep;
	return;
}

1;
