# Syslog: a private /dev/log, for programs that log nowhere else.
#
#   my $syslog = MxwardenTest::Syslog->new;
#   $syslog->log;         # the file, with lines as rsyslog writes them
#
# The namespace (Netns) gets a /dev of its own, with what programs need of the
# real one and the socket.
package MxwardenTest::Syslog;

use strict;
use warnings;

use Carp qw(croak);
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(SOCK_DGRAM);

sub
_run {
	my ($status, undef, $err) = MxwardenTest::run_cmd(@_);

	croak "@_: $err" if $status != 0;
	return;
}

sub
new {
	my ($class) = @_;
	my $dir = MxwardenTest::tmp_dir() . '/dev';
	my $self = bless { file => MxwardenTest::tmp_dir() . '/syslog' }, $class;

	mkdir $dir or croak "mkdir $dir: $!";
	_run(qw(mount -t tmpfs -o mode=755 tmpfs), $dir);
	for my $name (qw(null zero full random urandom tty)) {
		MxwardenTest::spew("$dir/$name", '');
		_run('mount', '--bind', "/dev/$name", "$dir/$name");
	}
	mkdir "$dir/shm" or croak "mkdir: $!";
	chmod 01777, "$dir/shm";
	symlink '/proc/self/fd', "$dir/fd" or croak "symlink: $!";
	my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM,
		Local => "$dir/log") or croak "$dir/log: $!";
	chmod 0666, "$dir/log";
	_run(qw(mount --rbind), $dir, '/dev');
	MxwardenTest::spew($self->{file}, '');
	my $pid = fork // croak "fork: $!";
	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
		eval { $self->_serve($socket) };
		POSIX::_exit(1);
	}
	$self->{pid} = $pid;
	MxwardenTest::at_end(sub {
		kill 'KILL', $pid;
		waitpid $pid, 0;
		# Some may still use it.
		_run(qw(umount -l -R /dev));
		_run(qw(umount -l -R), $dir);
	});
	return $self;
}

sub log { return $_[0]{file} }
sub log_text { return MxwardenTest::slurp($_[0]{file}) }

sub
wait_log {
	my ($self, $re, $seconds) = @_;

	return MxwardenTest::wait_for { $self->log_text =~ $re }
	    $seconds // 30, "syslog to have $re";
}

# "<22>Nov  5 08:01:02 tag: text" -> "Nov  5 08:01:02 mx tag: text", controls as
# rsyslog escapes them.
sub
_serve {
	my ($self, $socket) = @_;

	while (defined recv $socket, my $text, 65536, 0) {
		$text =~ s/\A<\d+>(.{15}) // or next;
		my $time = $1;
		$text =~ s/[\0\n]+\z//;
		$text =~ s/([\0-\x1f\x7f])/sprintf '#%03o', ord $1/ge;
		MxwardenTest::append($self->{file}, "$time mx $text\n");
	}
	return;
}

1;
