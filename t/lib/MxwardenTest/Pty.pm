# Pty: a program on a terminal of 80 columns and 24 rows.
#
#   my $screen = MxwardenTest::Pty->run(program('mxwarden'), 'list');
#   my $p = MxwardenTest::Pty->start(...);  $p->text;  $p->signal('INT');
package MxwardenTest::Pty;

use strict;
use warnings;

use Carp qw(croak);
use Fcntl qw(O_RDWR O_NOCTTY F_GETFL F_SETFL O_NONBLOCK);
use POSIX ();

# asm-generic/ioctls.h; POSIX knows no names for them.
use constant { TIOCSPTLCK => 0x40045431, TIOCGPTN => 0x80045430,
	TIOCSWINSZ => 0x5414 };

sub
start {
	my ($class, @cmd) = @_;
	my $self = bless { text => '', cmd => "@cmd" }, $class;
	my $n = pack 'I', 0;

	sysopen my $master, '/dev/ptmx', O_RDWR | O_NOCTTY
	    or croak "/dev/ptmx: $!";
	my ($unlock, $size) = (pack('i', 0), pack('S4', 24, 80, 0, 0));
	ioctl($master, TIOCSPTLCK, $unlock) or croak "unlockpt: $!";
	ioctl($master, TIOCGPTN, $n) or croak "ptsname: $!";
	my $path = '/dev/pts/' . unpack('I', $n);
	sysopen my $slave, $path, O_RDWR | O_NOCTTY or croak "$path: $!";
	ioctl($slave, TIOCSWINSZ, $size) or croak "winsize: $!";

	# Through the harness, which kills what is left; its own files for
	# output are not used.
	$self->{proc} = MxwardenTest::spawn(name => $cmd[0], oneshot => 1,
		env => { TERM => 'xterm', NO_COLOR => '' },
		cmd => ['/bin/sh', '-c', "exec \"\$@\" >$path 2>&1", 'sh', @cmd]);
	fcntl($master, F_SETFL, fcntl($master, F_GETFL, 0) | O_NONBLOCK)
	    or croak "fcntl: $!";
	# Open here, too: the master must not see an end before there was a
	# beginning.
	@$self{qw(master slave)} = ($master, $slave);
	return $self;
}

# What it has written so far, with \n for the terminal's line ends.
sub
text {
	my ($self) = @_;

	while (sysread $self->{master}, my $buf, 65536) {
		$self->{text} .= $buf;
	}
	(my $text = $self->{text}) =~ s/\r\n/\n/g;
	return $text;
}

sub signal { my ($self, $sig) = @_; $self->{proc}->signal($sig); return }
sub alive { my ($self) = @_; $self->{proc}->reap; return $self->{proc}->alive }

# To its end: all that it wrote. A terminal holds little, so it is read on.
sub
run {
	my ($class, @cmd) = @_;
	my $self = $class->start(@cmd);

	MxwardenTest::wait_for { $self->text; !$self->alive } 60,
	    "$self->{cmd} to end";
	return $self->text;
}

1;
