# Load: what goes on all the time: lines into the logs, policy requests, and the
# comparison of each answer with the model.
#
# One process that does both, because it must know at each answer what had been
# written before. It takes orders from the driver over a socket, one line each,
# and answers each with "ok ..." when it is done. What may be wrong is written
# to a journal: "TIME KIND DETAIL". Whether a fault explains it is for the driver
# to judge (Faults::Judge):
#
#   over      refused, though it has never offended
#   more      refused at a higher level than what was written justifies
#   under     not refused, or at a lower level, long after the line that should
#             have blocked
#   forgot    not refused, though it has been before
#   late      the answer took too long, though the daemon had a processor
#   silent    no answer in SILENCE seconds
#   lost      the connection ended before the answer
#   refused   no connection
#   garbled   what came is no answer, or one that nothing asked for
package Faults::Load;

use strict;
use warnings;

use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use IO::Handle;
use JSON::PP ();
use MxwardenTest;
use MxwardenTest::Model;
use POSIX ();
use Socket qw(AF_INET AF_UNIX INADDR_LOOPBACK IPPROTO_TCP PF_UNSPEC
    SOCK_STREAM TCP_NODELAY pack_sockaddr_in);
use Time::HiRes qw(sleep time);

use Faults::Lines;
use Faults::Log;

use constant {
	SLACK => 0.05,    # lines are so much older than the clock
	EDGE => 7,        # around the end of a block, and after a step of the
			  # clock, nothing is compared
	CONNS => 6,
	SILENCE => 15,
};

# --- The driver's side --------------------------------------------------------

# new(port, conf, dir, logs, seed, rate, asks, late, delay, clock, redis)
sub
new {
	my ($class, %arg) = @_;
	my $self = bless { %arg, conns => [], order => '', answers => 0, refusals => 0,
		lines => 0, worst => 0, offset => 0, seen => {}, when => {},
		took => [(0) x 6] }, $class;

	socketpair my $mine, my $its, AF_UNIX, SOCK_STREAM, PF_UNSPEC
	    or die "socketpair: $!";
	$_->autoflush(1) for $mine, $its;
	$self->{pid} = fork // die "fork: $!";
	if ($self->{pid} == 0) {
		close $mine;
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
		$self->{orders} = $its;
		eval { $self->_run; 1 } or do {
			spew("$arg{dir}/load.died", $@);
			print STDERR "load: $@";
		};
		POSIX::_exit(0);
	}
	close $its;
	$self->{socket} = $mine;
	MxwardenTest::at_end(sub { $self->end });
	return $self;
}

# An order, and what is answered to it.
sub
order {
	my ($self, @words) = @_;
	my $s = $self->{socket};

	print {$s} "@words\n";
	local $SIG{ALRM} = sub { die "the load does not obey: @words\n" };
	alarm(patience(90));
	my $line = <$s>;
	alarm 0;
	die "the load has ended\n" . (slurp("$self->{dir}/load.died") // '')
	    if !defined $line;
	$line =~ /\Aok ?(.*)\n\z/ or die "load: @words: $line";
	return $1;
}

sub end { return MxwardenTest::kill_child($_[0]) }

# --- The process --------------------------------------------------------------

sub
_run {
	my ($self) = @_;
	my $next = time;

	srand $self->{seed};
	open $self->{journal}, '>>', "$self->{dir}/load.journal" or die $!;
	open $self->{written}, '>>', "$self->{dir}/lines" or die $!;
	$self->{journal}->autoflush(1);
	$self->_forget;
	$self->_make_addresses;
	fcntl $self->{orders}, F_SETFL, O_NONBLOCK or die "fcntl: $!";
	$self->{started} = time;
	$self->{paused} = $self->{quiet} = 1;
	for (;;) {
		$self->_obey;
		$self->_write if !$self->{paused};
		$_->flush for @{$self->{logs}};
		$self->_ask if !$self->{quiet};
		$self->_wait(0.01);
	}
}

sub _forget {
	my ($self) = @_;
	my $c = $self->{conf};

	$self->{model} = MxwardenTest::Model->new(%$c);
	# While Redis is away a host decides by its own count, to which a
	# FLUSHALL does nothing: what has ever been written may block then.
	$self->{ever} //= MxwardenTest::Model->new(%$c) if $self->{redis};
	$self->{rank} = { map { $c->{levels}[$_]{name} => $_ }
		0 .. $#{$c->{levels}} };
	$self->{when} = {};
	$self->{seen} = {};
	$self->{edge} = {};
	return;
}

sub
_make_addresses {
	my ($self) = @_;

	# Of those that never offend some are the next to do so, and some the
	# neighbours of others.
	$self->{innocent} = [map({ "203.0.113.$_" } 1 .. 40),
		map { "2001:db8:ffff:$_\::1" } 1 .. 20];
	$self->{allowed} = [qw(192.0.2.10 192.0.2.11 2001:db8:aaaa::10)];
	$self->{held} = '198.18.0.1'; # blocked by hand
	$self->{constant} = [map { $self->_address($_) } 0 .. 19];
	return;
}

# The nth offender; each writes to one of the logs only.
sub
_address {
	my ($self, $n) = @_;

	return sprintf '10.%d.%d.%d', 1 + $n / 60000, $n / 240 % 250,
	    1 + $n % 240 if $n % 3;
	return sprintf '2001:db8:%x:%x::%x', 1 + int($n / 60000), $n % 60000,
	    1 + int rand 3;
}

# Offenders come and go; some stay. In a long run they come again: `top` has
# room for 1000.
sub
_offender {
	my ($self) = @_;

	return int rand 20 if rand() < 0.3;
	return 20 + int((time - $self->{started}) + rand 60) % 900;
}

sub
_note {
	my ($self, $kind, $detail) = @_;

	printf {$self->{journal}} "%.3f %s %s\n", time, $kind, $detail;
	return;
}

# --- Orders -------------------------------------------------------------------

sub
_reply {
	my ($self, $text) = @_;

	syswrite $self->{orders}, defined $text ? "ok $text\n" : "ok\n";
	return;
}

sub
_obey {
	my ($self) = @_;
	my $n = sysread $self->{orders}, $self->{order}, 4096,
	    length $self->{order};

	POSIX::_exit(0) if defined $n && $n == 0;
	# Orders that take a while; the next one comes when they are done.
	if ($self->{waiting}) {
		return if !$self->{waiting}->();
		delete $self->{waiting};
		$self->_reply;
	}
	while ($self->{order} =~ s/\A([^\n]*)\n//) {
		my ($verb, @args) = split ' ', $1;
		my $code = $self->can("_order_$verb") or die "order $verb?\n";

		$code->($self, @args);
	}
	return;
}

# All that was begun is written, and no more.
sub
_order_pause {
	my ($self) = @_;

	$self->{paused} = 1;
	$self->{waiting} = sub { !grep { !$_->empty } @{$self->{logs}} };
	return;
}

# No connection, either.
sub
_order_quiet {
	my ($self) = @_;
	my $deadline = time + SILENCE + 1;

	$self->{paused} = $self->{quiet} = 1;
	$self->{waiting} = sub {
		return if grep { !$_->empty } @{$self->{logs}};
		return if time < $deadline &&
		    grep { @{$_->{asked}} || length $_->{out} }
			@{$self->{conns}};
		$self->{conns} = [];
		return 1;
	};
	return;
}

sub
_order_go {
	my ($self) = @_;

	$self->{paused} = $self->{quiet} = 0;
	$self->_reply;
	return;
}

sub
_order_pid {
	my ($self, $pid) = @_;

	$self->{daemon} = $pid;
	$self->_reply;
	return;
}

sub
_order_rotate {
	my ($self, $i, $how) = @_;

	$self->_reply($self->{logs}[$i]->rotate($how) ? 'done' : 'full');
	return;
}

sub
_order_cut {
	my ($self, $i, $seconds) = @_;

	$self->{logs}[$i]->cut($seconds);
	$self->_reply;
	return;
}

# From now on a log may not be read for so many seconds (0: it is read again).
sub
_order_unread {
	my ($self, $seconds) = @_;

	$self->{unread} = $seconds;
	$self->_reply;
	return;
}

# So many lines at once.
sub
_order_burst {
	my ($self, $n) = @_;

	$self->_line for 1 .. $n;
	$self->_reply;
	return;
}

# The clock of this host: of the daemon, and of those who write logs.
sub
_order_clock {
	my ($self, $offset) = @_;

	my $was = $self->_now;

	$self->{offset} = $offset;
	$self->{stepped} = time;
	# What was over before a step back may not begin again.
	my $blocks = $self->{model}{block};
	for (keys %$blocks) {
		my $until = $blocks->{$_}{until};

		$self->{edge}{$_} = 1 if $until > $self->_now &&
		    $until < $was + EDGE;
	}
	spew("$self->{clock}.new", sprintf "%+d\n", $offset);
	rename "$self->{clock}.new", $self->{clock} or die "rename: $!";
	$self->_reply;
	return;
}

# Somebody has deleted all scores and blocks.
sub
_order_forget {
	my ($self) = @_;

	my $attempts = $self->{model}{attempts};
	$self->_forget;
	$self->{model}{attempts} = $attempts;
	$self->_reply;
	return;
}

sub
_order_dump {
	my ($self, $file) = @_;
	my $m = $self->{model};

	spew($file, JSON::PP->new->canonical->encode({ score => $m->{score},
		block => $m->{block}, strikes => $m->{strikes},
		now => $self->_now, when => $self->{when},
		edge => $self->{edge} }));
	$self->_reply;
	return;
}

sub
_order_stats {
	my ($self) = @_;

	$self->_reply(JSON::PP->new->canonical->encode({
		map { $_ => $self->{$_} } qw(answers refusals lines worst took)
	}));
	return;
}

# --- Lines --------------------------------------------------------------------

sub _now { return time + $_[0]{offset} }

sub
_write {
	my ($self) = @_;
	my $now = time;
	my $due = $self->{due} //= $now;

	# A disk that was full for a while is no reason for a flood.
	$due = $now - 0.2 if $now - $due > 0.2;
	while ($due < $now) {
		$self->_line if !grep { @{$_->{queue}} > 200 } @{$self->{logs}};
		$due += -log(1 - rand) / $self->{rate};
	}
	$self->{due} = $due;
	return;
}

# One line of one of the connections that are under way.
sub
_line {
	my ($self) = @_;
	my $open = $self->{open} //= [];

	while (@$open < 12) {
		my $n = $self->_offender;
		my $addr = rand() < 0.02 ?
		    $self->{allowed}[rand @{$self->{allowed}}] :
		    $self->_address($n);

		push @$open, { addr => $addr, log => $n % @{$self->{logs}},
			pid => ++$self->{serial},
			lines => [Faults::Lines::connection($addr)] };
	}
	my $i = int rand @$open;
	my $c = $open->[$i];
	my ($text, $rule, $total) = @{shift @{$c->{lines}}};
	my $log = $self->{logs}[$c->{log}];
	my ($stamp, $t) = Faults::Lines::stamp($log->form,
	    $self->_now - SLACK);
	my $line = "$stamp mx1 postfix/smtpd[$c->{pid}]: $text\n";

	splice @$open, $i, 1 if !@{$c->{lines}};
	$log->put($line, sub {
		$self->{lines}++;
		print {$self->{written}} sprintf('%.3f %s ', time, $log->{name}),
		    $line;
		$self->_count($t, $c->{addr}, $rule, $c->{pid}, $total)
		    if $rule && !grep { $_ eq $c->{addr} }
			@{$self->{allowed}};
	});
	return;
}

# The line is written; and the time at which its block became known, by level.
sub
_count {
	my ($self, $t, $addr, $rule, $pid, $total) = @_;
	my $m = $self->{model};

	my $scope = $m->scope(MxwardenTest::Model::canonical($addr));
	my $b = $m->{block}{$scope};

	# In the log the block was still active, but it may be over when the
	# line is read: then this is another one. From here on nobody knows.
	$self->{edge}{$scope} = 1 if $b && $t < $b->{until} &&
	    $self->_now + ($self->{unread} || $self->{delay}) > $b->{until};
	$self->{ever}->line($t, $addr, $rule, $pid, $total) if $self->{ever};
	return if !defined $m->line($t, $addr, $rule, $pid, $total);
	$b = $m->{block}{$scope};
	my $w = $self->{when}{$scope};

	$w = $self->{when}{$scope} = { since => $b->{since} }
	    if !$w || $w->{since} != $b->{since};
	$w->{level}[$_] //= time for 0 .. $b->{level};
	return;
}

# --- Requests -----------------------------------------------------------------

sub
_ask {
	my ($self) = @_;
	my $now = time;
	my $conns = $self->{conns};

	for my $c (@$conns) {
		if (@{$c->{asked}} &&
		    $now - ($c->{asked}[0]{at} // $now) > SILENCE) {
			$self->_note('silent', $c->{asked}[0]{addr});
			$c->{gone} = 1;
		}
		# Now and then another one takes its place.
		$c->{gone} = 1 if !@{$c->{asked}} && !length $c->{out} &&
		    rand() < 0.0003;
	}
	@$conns = grep { !$_->{gone} } @$conns;
	while (@$conns < CONNS) {
		push @$conns, $self->_connect // last;
	}
	for my $c (@$conns) {
		next if length $c->{out} || @{$c->{asked}};
		next if rand() > $self->{asks} / 100 / CONNS;
		my $n = rand() < 0.2 ? 2 + int rand 6 : 1;
		my $text = join '', map { $self->_request($c) } 1 .. $n;
		# Split anywhere, the rest in the next turns.
		my $cut = rand() < 0.2 ? 1 + int rand length $text :
		    length $text;
		$c->{out} = substr $text, $cut;
		$self->_send($c, substr $text, 0, $cut);
	}
	return;
}

sub
_connect {
	my ($self) = @_;

	return if time < ($self->{retry} // 0);
	# Whether it is accepted shows at the first write or read.
	socket my $s, AF_INET, SOCK_STREAM, 0 or die "socket: $!";
	fcntl $s, F_SETFL, O_NONBLOCK or die "fcntl: $!";
	setsockopt $s, IPPROTO_TCP, TCP_NODELAY, 1;
	connect $s, pack_sockaddr_in($self->{port}, INADDR_LOOPBACK) or
	    $!{EINPROGRESS} or return $self->_refused("$!");
	return { socket => $s, asked => [], out => '', in => '' };
}

sub
_refused {
	my ($self, $why) = @_;

	$self->_note('refused', $why);
	$self->{retry} = time + 0.05;
	return;
}

sub
_request {
	my ($self, $c) = @_;
	my $m = $self->{model};
	my $kind = rand;
	my ($addr, $expect, $more) = (undef, undef, '');

	if ($kind < 0.2) {
		($addr, $expect) = ($self->{innocent}
		    [rand @{$self->{innocent}}], 'never');
	} elsif ($kind < 0.25) {
		($addr, $expect) = ($self->{allowed}
		    [rand @{$self->{allowed}}], 'never');
	} elsif ($kind < 0.3) {
		($addr, $expect) = ($self->{held}, 'held');
	} elsif ($kind < 0.33) {
		($addr, $expect) = (Faults::Lines::pick('unknown', '',
		    '10.0.0.256'), 'never');
	} elsif ($kind < 0.37) {
		($addr, $expect) = ($self->_address(int rand 20), 'never');
		$more = "sasl_username=user\n";
	} else {
		($addr, $expect) = ($self->_address($self->_offender), 'model');
	}
	push @{$c->{asked}}, { addr => $addr, expect => $expect };
	return "request=smtpd_access_policy\nprotocol_state=RCPT\n" .
	    "protocol_name=ESMTP\nclient_address=$addr\nsender=a\@b.example\n" .
	    "recipient=c\@d.example\nrecipient_count=0\n$more\n";
}

# Seconds that a process has waited for a processor.
sub
_starved {
	my ($pid) = @_;
	my (undef, $ns) = split ' ', slurp("/proc/$pid/schedstat") // '';

	return ($ns // 0) / 1e9;
}

sub
_waits {
	my ($self) = @_;

	return _starved($$) + ($self->{daemon} ? _starved($self->{daemon}) : 0);
}

sub
_send {
	my ($self, $c, $text) = @_;
	my $n = syswrite $c->{socket}, $text;

	if (!defined $n && !$!{EAGAIN}) {
		$self->_lost($c, "$!");
		return;
	}
	$n //= 0;
	$c->{out} = substr($text, $n) . $c->{out} if $n < length $text;
	return if length $c->{out};
	my ($now, $waits) = (time, $self->_waits);
	for my $q (grep { !$_->{at} } @{$c->{asked}}) {
		@$q{qw(at waits)} = ($now, $waits);
	}
	return;
}

sub
_lost {
	my ($self, $c, $why) = @_;

	$c->{gone} = 1;
	return $self->_refused($why)
	    if $!{ECONNREFUSED} || $!{ETIMEDOUT};
	$self->_note('lost', "$why " . scalar @{$c->{asked}})
	    if @{$c->{asked}};
	return;
}

# Waits a little, reads what comes, goes on with what was split.
sub
_wait {
	my ($self, $seconds) = @_;
	my ($r, $until) = ('', time + $seconds);

	for (;;) {
		my @live = grep { !$_->{gone} } @{$self->{conns}};
		vec($r, fileno $self->{orders}, 1) = 1;
		vec($r, fileno $_->{socket}, 1) = 1 for @live;
		my $left = $until - time;
		select $r, undef, undef, $left > 0 ? $left : 0;
		for my $c (@live) {
			$self->_read($c) if vec $r, fileno $c->{socket}, 1;
		}
		$r = '';
		last if time >= $until;
	}
	for my $c (grep { !$_->{gone} && length $_->{out} }
	    @{$self->{conns}}) {
		my $n = rand() < 0.5 ? length $c->{out} :
		    1 + int rand length $c->{out};
		my $text = substr $c->{out}, 0, $n, '';

		$self->_send($c, $text);
	}
	return;
}

sub
_read {
	my ($self, $c) = @_;
	my $n = sysread $c->{socket}, $c->{in}, 65536, length $c->{in};

	return if !defined $n && $!{EAGAIN};
	if (!$n) {
		$! = 0 if defined $n;
		$self->_lost($c, defined $n ? 'closed' : "$!");
		return;
	}
	my $now = time;
	while ($c->{in} =~ s/\A([^\n]*)\n\n//) {
		my $q = shift @{$c->{asked}};

		if (!$q || $1 !~ /\Aaction=(.+)\z/) {
			$self->_note('garbled', $1);
			$c->{gone} = 1;
			return;
		}
		$self->{answers}++;
		# Of a request that is not complete yet, in one packet with others,
		# no time is known.
		$self->_timed($q, $now) if $q->{at};
		$self->_judge($q, $1, $now);
	}
	return;
}

sub
_timed {
	my ($self, $q, $now) = @_;
	my $took = $now - $q->{at};

	if ($took > 0.002) {
		$took -= $self->_waits - $q->{waits};
		$took = 0 if $took < 0;
	}
	my $i = 0;
	for my $limit (0.001, 0.005, 0.02, 0.1, 0.5) {
		last if $took <= $limit;
		$i++;
	}
	$self->{took}[$i]++;
	$self->{worst} = $took if $took > $self->{worst};
	$self->_note('late', sprintf '%.3f %s', $took, $q->{addr})
	    if $took > $self->{late};
	return;
}

# Is that what the model says?
sub
_judge {
	my ($self, $q, $action, $now) = @_;
	my $have = $action eq 'DUNNO' ? -1 : $action =~ /\((\w+)\) \[mxw\]\z/ ?
	    $self->{rank}{$1} // 99 : 99;

	$self->{refusals}++ if $have >= 0;
	if ($have == 99) {
		$self->_note('garbled', $action);
		return;
	}
	if ($q->{expect} eq 'never') {
		$self->_note('over', "$q->{addr} $action") if $have >= 0;
		return;
	}
	if ($q->{expect} eq 'held') {
		$self->_note('forgot', "$q->{addr} $action") if $have < 0;
		return;
	}
	# The daemon's clock follows a step within 5 seconds.
	return if $now < ($self->{stepped} // 0) + EDGE;
	my $m = $self->{model};
	my $scope = $m->scope(MxwardenTest::Model::canonical($q->{addr}));
	my $b = $m->{block}{$scope};
	my $wall = $now + $self->{offset};

	return if $self->{edge}{$scope};
	return if $b && abs($b->{until} - $wall) < EDGE;
	my $most = $b && $b->{until} > $wall ? $b->{level} : -1;
	my $e = $self->{ever} ? $self->{ever}{block}{$scope} : undef;
	if ($have > $most && !($e && $have <= $e->{level})) {
		my $known = $e || $m->{score}{$scope};

		$self->_note($known ? 'more' : 'over', "$q->{addr} $action, " .
		    'at most ' . $self->_name($most));
	} elsif ($most >= 0) {
		my $w = $self->{when}{$scope};
		my $since = ($q->{at} // $now) - $self->{delay};
		my ($least) = grep {
			$w->{level}[$_] && $w->{level}[$_] < $since
		} reverse 0 .. $most;

		if (defined $least && $have < $least) {
			my $seen = $self->{seen}{"$scope $b->{since}"} // -1;
			$self->_note($have < 0 && $seen >= 0 ? 'forgot' : 'under', "$q->{addr} " .
			    "$action, at least " . $self->_name($least) .
			    sprintf(' since %.3f', $w->{level}[$least]));
		}
	}
	$self->{seen}{"$scope $b->{since}"} = $have if $b;
	return;
}

sub
_name {
	my ($self, $level) = @_;

	return $level < 0 ? 'none' : $self->{conf}{levels}[$level]{name};
}

1;
