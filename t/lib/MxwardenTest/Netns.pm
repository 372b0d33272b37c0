# Netns: network namespaces, so that a test has ports, addresses and firewall
# rules of its own and cannot disturb the host.
#
# enter(ipv4 => [...], ipv6 => [...], hosts => {name => address})
#     runs the test itself, from its beginning, inside a fresh network, mount
#     and process namespace. Everything the test starts lives in there and is
#     gone when the test ends, even by SIGKILL. The addresses are put on lo
#     (IPv4: prefixes are fine); /etc/hosts and /etc/resolv.conf are private:
#     the names in `hosts` are all that resolves.
#
# new(name) makes a named namespace beside the test's own, for a second host;
#     it is deleted at the end.
package MxwardenTest::Netns;

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use POSIX qw(WNOHANG);

# In here? Then the address set-up was done by the first process of the
# namespace.
my $inside = delete $ENV{MXW_NETNS_INSIDE};

# How this test is run; absolute, because the working directory changes.
my @perl = ($^X, map { ('-I', abs_path($_) // $_) } grep { !ref } @INC);
my $script = -f $0 ? abs_path($0) : $0;

my @unshare = qw(unshare --net --mount --pid --fork --mount-proc);

sub
enter {
	my ($class, %arg) = @_;

	if ($inside) {
		$class->_setup(%arg);
		return;
	}
	MxwardenTest::need(root => 1, programs => [qw(ip unshare mount)]);
	my ($status) = MxwardenTest::run_cmd(@unshare, 'true');
	MxwardenTest::skip_test('cannot make namespaces here') if $status != 0;
	MxwardenTest::remove_tmp();
	_outside();
}

# The process that the caller knows: waits for the test, and holds a pipe whose
# end tells the inside that it is gone, even by SIGKILL. unshare(1) itself
# passes no signals on.
sub
_outside {
	pipe my $life_r, my $life_w or croak "pipe: $!";
	my $pid = fork // croak "fork: $!";

	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
		setpgrp 0, 0;
		open STDIN, '<&', $life_r;
		close $life_w;
		exec { $unshare[0] } @unshare, @perl, '-MMxwardenTest', '-e',
		    'MxwardenTest::Netns::init(@ARGV)', @perl, $script, @ARGV or POSIX::_exit(127);
	}
	close $life_r;
	# A closed pipe ends the test; waitpid below waits for that.
	$SIG{$_} = sub { close $life_w if $life_w; undef $life_w }
	    for qw(INT TERM HUP);
	for (;;) {
		last if waitpid($pid, 0) == $pid;
	}
	my $status = $? & 127 ? 128 + ($? & 127) : $? >> 8;
	POSIX::_exit($life_w ? $status : $status || 1);
}

# The first process in the namespace: starts the test, collects orphans. The
# kernel kills everything inside when it ends.
sub
init {
	my (@cmd) = @_;
	my $pid = fork // die "fork: $!";
	my ($status, $deadline);

	if ($pid == 0) {
		$ENV{MXW_NETNS_INSIDE} = 1;
		open STDIN, '<', '/dev/null';
		exec { $cmd[0] } @cmd or POSIX::_exit(127);
	}
	local $SIG{CHLD} = sub { };
	while (!defined $status) {
		my $gone;
		while (($gone = waitpid -1, WNOHANG) > 0) {
			$status = $? & 127 ? 128 + ($? & 127) : $? >> 8
			    if $gone == $pid;
		}
		last if $deadline && time > $deadline;
		# The time-out closes the gap between waitpid and select.
		vec(my $r = '', 0, 1) = 1;
		if ($deadline) {
			select undef, undef, undef, 0.05;
		} elsif (select($r, undef, undef, 0.2) > 0) {
			kill 'TERM', $pid;
			$deadline = time + 30;
		}
	}
	POSIX::_exit($status // 1);
}

sub
_setup {
	my ($class, %arg) = @_;
	my $dir = MxwardenTest::tmp_dir();
	my $hosts = "127.0.0.1 localhost\n::1 localhost\n";

	# Names of further namespaces shall not be left on the host.
	mkdir '/run/netns';
	_sh('mount', '-t', 'tmpfs', 'tmpfs', '/run/netns');
	_sh('ip', 'link', 'set', 'lo', 'up');
	for my $addr (@{$arg{ipv4} // []}) {
		_sh('ip', 'addr', 'add', $addr, 'dev', 'lo');
	}
	for my $addr (@{$arg{ipv6} // []}) {
		_sh('ip', 'addr', 'add', $addr, 'dev', 'lo', 'nodad');
	}
	for my $name (sort keys %{$arg{hosts} // {}}) {
		$hosts .= "$arg{hosts}{$name} $name\n";
	}
	MxwardenTest::spew("$dir/hosts", $hosts);
	# A server that refuses at once: nothing waits for a name.
	MxwardenTest::spew("$dir/resolv.conf",
	    "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
	for my $file (qw(hosts resolv.conf)) {
		chmod 0644, "$dir/$file";
		_sh('mount', '--bind', "$dir/$file", "/etc/$file");
		MxwardenTest::at_end(sub { _sh('umount', "/etc/$file") });
	}
	return;
}

sub
_sh {
	my (@cmd) = @_;
	my ($status, $out, $err) = MxwardenTest::run_cmd(@cmd);

	croak "@cmd: $err" if $status != 0;
	return $out;
}

sub
new {
	my ($class, $suffix) = @_;
	# Our process number is none outside of a namespace.
	my $self = bless { name => sprintf 'mxw-%06x-%s', rand 1 << 24,
		$suffix }, $class;

	MxwardenTest::need(root => 1, programs => ['ip']);
	_sh('ip', 'netns', 'add', $self->{name});
	MxwardenTest::at_end(sub { $self->delete });
	$self->cmd('ip', 'link', 'set', 'lo', 'up');
	return $self;
}

sub name { return $_[0]{name} }

# What to put before a command (or a daemon's `wrap`) to run it inside.
sub prefix { return ('ip', 'netns', 'exec', $_[0]{name}) }

sub
cmd {
	my ($self, @cmd) = @_;

	return _sh($self->prefix, @cmd);
}

sub
delete {
	my ($self) = @_;
	my $name = delete $self->{name} // return;
	my ($status, $pids) = MxwardenTest::run_cmd('ip', 'netns', 'pids',
		$name);

	kill 'KILL', split ' ', $pids if $status == 0 && $pids =~ /\d/;
	_sh('ip', 'netns', 'del', $name);
	return;
}

1;
