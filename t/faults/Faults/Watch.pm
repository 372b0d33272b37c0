# Watch: an administrator and a monitoring system that never rest: the verbs of
# mxwarden, blocks by hand and their ends, /metrics and /healthz.
#
# A process of its own. What may be wrong is written to a journal, as Load does:
#
#   control   a verb failed (exit status 2)
#   hand      what was done by hand has no effect
#   metrics   no metrics, or such as cannot be
#   health    /healthz tells of a trouble
package Faults::Watch;

use strict;
use warnings;

use IO::Socket::IP;
use JSON::PP ();
use MxwardenTest;
use POSIX ();
use Time::HiRes qw(sleep time);

# new(dir, port, control, http, seed)
sub
new {
	my ($class, %arg) = @_;
	my $self = bless { %arg }, $class;

	$self->{pid} = fork // die "fork: $!";
	if ($self->{pid} == 0) {
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
		srand $arg{seed};
		eval { $self->_run; 1 } or print STDERR "watch: $@";
		POSIX::_exit(0);
	}
	MxwardenTest::at_end(sub { $self->end });
	return $self;
}

sub end { return MxwardenTest::kill_child($_[0]) }

# Between two of its acts it stands still: nothing of it is under way.
sub
pause {
	my ($self, $still) = @_;
	my $file = "$self->{dir}/watch.pause";

	if (!$still) {
		unlink $file, "$file.ok";
		return;
	}
	spew($file, '');
	wait_for { -e "$file.ok" } 60, 'the watch to stand still';
	return;
}

sub
_run {
	my ($self) = @_;
	my $file = "$self->{dir}/watch.pause";

	open $self->{journal}, '>>', "$self->{dir}/watch.journal" or die $!;
	$self->{journal}->autoflush(1);
	for (;;) {
		if (-e $file) {
			spew("$file.ok", '') if !-e "$file.ok";
			sleep 0.02;
			next;
		}
		my $what = rand;
		$what < 0.4 ? $self->_look : $what < 0.5 ? $self->_hand :
		    $what < 0.85 ? $self->_metrics : $self->_health;
		sleep 0.02 + rand 0.3;
	}
}

sub
_note {
	my ($self, $at, $kind, $detail) = @_;

	$detail =~ s/\s+/ /g;
	printf {$self->{journal}} "%.3f %s %s\n", $at, $kind,
	    substr $detail, 0, 300;
	return;
}

# A command: its exit status and what it printed.
sub
_mxwarden {
	my ($self, @args) = @_;
	my $pid = open my $out, '-|';

	defined $pid or die "fork: $!";
	if ($pid == 0) {
		open STDERR, '>&', \*STDOUT;
		exec program('mxwarden'), '-s', $self->{control}, @args
		    or POSIX::_exit(127);
	}
	local $/;
	my $text = <$out> // '';
	close $out;
	return ($? & 127 ? 128 + ($? & 127) : $? >> 8, $text);
}

sub
_look {
	my ($self) = @_;
	my @verbs = (['status'], ['list'], ['list', '-l', 'defer'],
		['top', '-n', '50'], ['show', '10.1.0.2'],
		['show', '2001:db8:1:3::9'], ['allow', 'list'],
		['show', '203.0.113.1']);
	my $verb = $verbs[rand @verbs];
	my $at = time;
	my ($status, $text) = $self->_mxwarden('--json', @$verb);

	if ($status > 1) {
		$self->_note($at, 'control', "@$verb: $status $text");
	} elsif (!eval { JSON::PP->new->allow_nonref->decode($text); 1 }) {
		$self->_note($at, 'control', "@$verb: no JSON: $text");
	}
	return;
}

sub
_asked {
	my ($self, $addr) = @_;
	my (undef, $text) = $self->_mxwarden('ask',
		"inet:127.0.0.1:$self->{port}", "client_address=$addr");

	return $text;
}

# A block by hand, and its end. Nobody else touches these addresses.
sub
_hand {
	my ($self) = @_;
	my $addr = '198.18.1.' . (1 + int rand 50);
	my $at = time;
	my ($status, $text) = $self->_mxwarden('block', $addr, '-l', 'refuse',
		'-t', '1h');

	if ($status != 0) {
		$self->_note($at, 'control', "block: $status $text");
		return;
	}
	$text = $self->_asked($addr);
	$self->_note($at, 'hand', "blocked $addr: $text")
	    if $text !~ /^REJECT/;
	($status, $text) = $self->_mxwarden(rand() < 0.5 ? 'unblock' :
	    'forgive', $addr);
	$self->_note($at, 'control', "unblock $addr: $status $text")
	    if $status != 0;
	$text = $self->_asked($addr);
	$self->_note($at, 'hand', "unblocked $addr: $text")
	    if $text !~ /^DUNNO/;
	return;
}

# (status code, body), or nothing.
sub
_get {
	my ($self, $path) = @_;
	my $text = '';
	my $end = time + 10;
	my $s = IO::Socket::IP->new(PeerHost => '127.0.0.1',
		PeerPort => $self->{http}, Timeout => 5) or return;

	print {$s} "GET $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	$s->flush;
	for (;;) {
		vec(my $r = '', fileno $s, 1) = 1;
		my $left = $end - time;
		return if $left <= 0 || !select $r, undef, undef, $left;
		last if !sysread $s, $text, 65536, length $text;
	}
	$text =~ m{\AHTTP/1\.1 (\d+) .*?\r\n\r\n(.*)\z}s or return;
	return ($1, $2);
}

sub
_metrics {
	my ($self) = @_;
	my $at = time;
	my ($code, $body) = $self->_get('/metrics');

	if (!defined $code || $code != 200) {
		$self->_note($at, 'metrics', defined $code ? "status $code" :
		    'no answer');
		return;
	}
	my %value;
	for (split /\n/, $body) {
		next if /^#/;
		if (/^(\S+(?: [^ ]+"\})?) ([-+0-9.e]+)$/) {
			$value{$1} = $2;
		} else {
			$self->_note($at, 'metrics', "'$_'");
		}
	}
	# Counters of one process never go back.
	my $started = $value{mxwarden_start_time_seconds};
	my $was = $self->{was};
	if ($was && $was->{mxwarden_start_time_seconds} == $started) {
		for (grep { /_total(?:\{|\z)/ } keys %$was) {
			$self->_note($at, 'metrics',
			    "$_ was $was->{$_}, is " . ($value{$_} // 'gone'))
			    if ($value{$_} // -1) < $was->{$_};
		}
	}
	$self->{was} = \%value;
	return;
}

sub
_health {
	my ($self) = @_;
	my $at = time;
	my ($code, $body) = $self->_get('/healthz');

	$self->_note($at, 'health', defined $code ? "$code $body" :
	    'no answer') if ($code // 0) != 200;
	return;
}

1;
