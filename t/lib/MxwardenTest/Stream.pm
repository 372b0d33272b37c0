# Stream: a steady stream of offences and of policy requests, while something
# else goes wrong.
#
#   my $s = MxwardenTest::Stream->new(daemons => [...], blocked => ADDR);
#   ... faults ...
#   my $counts = $s->stop;          # { ADDR => offences written }
#   $s->late; $s->wrong; $s->asked
#
# One process appends offences to the logs of the daemons in turn: 300 a second,
# by 150 addresses; each is told of by two lines of one connection that count
# once, the second some 40 offences later. Another process asks the daemons in
# turn about a client that is blocked, and measures. What a process waited for a
# processor because the machine was busy with other things is no fault of ours
# and is subtracted (schedstat; what a hypervisor took, too). What is left may
# still hold what the kernel's own threads waited for, so LATE is far above what
# an answer takes, and below the shortest time that a daemon would need that
# waits for Redis: the option "timeout", half a second.
package MxwardenTest::Stream;

use strict;
use warnings;

use IO::Socket::IP;
use MxwardenTest::Offences;
use POSIX ();
use Time::HiRes qw(sleep time);

use constant LATE => 0.3;

my $serial = 0;

sub
new {
	my ($class, %arg) = @_;
	my $base = MxwardenTest::tmp_dir() . '/stream' . ++$serial;
	my $self = bless { base => $base, %arg }, $class;

	$self->{writer} = $self->_fork(\&_write, "$base.counts");
	$self->{asker} = $self->_fork(\&_ask, "$base.answers");
	return $self;
}

sub
_fork {
	my ($self, $code, $file) = @_;
	my $pid = fork // die "fork: $!";

	return $pid if $pid;
	my $stop = 0;
	local $SIG{TERM} = sub { $stop = 1 };
	open my $out, '>', $file or POSIX::_exit(1);
	eval { $code->($self, $out, \$stop); 1 } or print $out "died $@\n";
	close $out;
	POSIX::_exit(0);
}

sub
_write {
	my ($self, $out, $stop) = @_;
	my (%count, @second);
	my $start = time;
	my $n = 0;

	srand 1;
	while (!$$stop || @second) {
		my $d = $self->{daemons}[int rand @{$self->{daemons}}];
		my $addr = '10.0.0.' . int rand 150;
		my ($first, $second) = offence_twice($addr);

		if ($$stop) {
			my $s = shift @second;
			$s->[0]->log_append($s->[1]);
			next;
		}
		$d->log_append($first);
		push @second, [$d, $second];
		$count{$addr}++;
		if (@second > 40) {
			my $s = shift @second;
			$s->[0]->log_append($s->[1]);
		}
		my $ahead = $start + ++$n / 300 - time;
		sleep $ahead if $ahead > 0;
	}
	print $out "$_ $count{$_}\n" for keys %count;
	return;
}

# Seconds that a process has waited for a processor.
sub
_waited {
	my ($pid) = @_;
	my (undef, $ns) = split ' ', MxwardenTest::slurp("/proc/$pid/schedstat")
	    // '';

	return ($ns // 0) / 1e9;
}

# Seconds that were taken from all processors.
sub
_stolen {
	my (undef, @ticks) = split ' ', MxwardenTest::slurp('/proc/stat');

	return ($ticks[7] // 0) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# The daemon that runs now; it may be another one than at the beginning. Its
# children that write a snapshot look like it.
sub
_pid {
	my ($daemon) = @_;
	my $file = $daemon->conf_file;
	my %parent;

	for my $path (glob '/proc/[0-9]*/cmdline') {
		my $cmd = MxwardenTest::slurp($path) // '';
		my ($pid) = $path =~ m{(\d+)};

		next if $cmd !~ /mxwardend\0.*\0\Q$file\E\0/;
		my ($ppid) = (MxwardenTest::slurp("/proc/$pid/stat") // '') =~
		    /\) \S (\d+)/;
		$parent{$pid} = $ppid // 0;
	}
	my ($first) = grep { !exists $parent{$parent{$_}} } sort keys %parent;
	return $first // 0;
}

# (seconds, reply), or nothing if there is no answer.
sub
_query {
	my ($conn, $daemon, $addr) = @_;
	my $reply = '';

	if (!$conn->{socket}) {
		$conn->{socket} = IO::Socket::IP->new(
			PeerHost => '127.0.0.1', PeerPort => $daemon->port)
		    or return;
		$conn->{pid} = _pid($daemon);
	}
	my $waited = _waited($conn->{pid}) + _waited($$) + _stolen();
	my $start = time;
	syswrite $conn->{socket},
	    "request=smtpd_access_policy\nclient_address=$addr\n\n";
	while ($reply !~ /\n\n/) {
		if (!sysread $conn->{socket}, $reply, 4096, length $reply) {
			delete $conn->{socket};
			return;
		}
	}
	my $took = time - $start;
	return ($took - (_waited($conn->{pid}) + _waited($$) + _stolen() -
		$waited), $reply);
}

sub
_ask {
	my ($self, $out, $stop) = @_;
	my @conn = map { {} } @{$self->{daemons}};
	my ($asked, $worst) = (0, 0);

	while (!$$stop) {
		for my $i (0 .. $#conn) {
			my ($took, $reply) = _query($conn[$i],
				$self->{daemons}[$i], $self->{blocked});

			next if !defined $took;
			$asked++;
			$worst = $took if $took > $worst;
			print $out "late $took\n" if $took > LATE;
			print $out "wrong ", time, " $reply"
			    if $reply !~ /^action=REJECT/;
		}
		sleep 0.002;
	}
	print $out "asked $asked\nworst $worst\n";
	return;
}

sub
stop {
	my ($self) = @_;

	for my $pid ($self->{writer}, $self->{asker}) {
		kill 'TERM', $pid;
		waitpid $pid, 0;
	}
	$self->{answers} = MxwardenTest::slurp("$self->{base}.answers");
	my %count = MxwardenTest::slurp("$self->{base}.counts") =~
	    /^(\S+) (\d+)$/mg;
	return \%count;
}

sub late { my @n = $_[0]{answers} =~ /^late/mg; return scalar @n }
sub wrong { my @n = $_[0]{answers} =~ /^wrong/mg; return scalar @n }
sub asked { return $_[0]{answers} =~ /^asked (\d+)/m ? $1 : 0 }
sub worst { return $_[0]{answers} =~ /^worst (\S+)/m ? $1 * 1000 : -1 }

1;
