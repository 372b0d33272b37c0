# Firewall: a mail server's namespace with real clients in another one, and
# what the tests of the packet filter backends share.
#
#   MxwardenTest::Firewall->enter;      the test is in the server's namespace
#   my $net = MxwardenTest::Firewall->new;
#   $net->try('198.51.100.10', $port)   "open", "refused" or "timeout"
#
# Clients: 198.51.100.10 to .19, 203.0.113.7, 203.0.113.200, and
# 2001:db8:N:1::7, 2001:db8:N:1::8 for N from 1 to 3. The server: 198.51.100.1
# and 2001:db8:ff::1.
package MxwardenTest::Firewall;

use strict;
use warnings;

use Carp qw(croak);
use IPC::Open2;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Test::More;
use Time::HiRes qw(sleep time);

use MxwardenTest;

my $server4 = '198.51.100.1';
my $server6 = '2001:db8:ff::1';

# Runs in the clients' namespace: a command per line, one line of answer.
my $agent = <<'EOT';
use strict; use warnings; use IO::Socket::IP; use IO::Select; $| = 1;
$SIG{PIPE} = 'IGNORE';
sub dial {
	my ($from, $host, $port, $seconds) = @_;
	my $s = IO::Socket::IP->new(LocalHost => $from, PeerHost => $host,
	    PeerPort => $port, Timeout => $seconds);
	return ($s, 'open') if $s;
	return (undef, $!{ECONNREFUSED} || $!{ECONNRESET} ? 'refused' :
	    $!{ETIMEDOUT} || $!{EINPROGRESS} ? 'timeout' : "error: $!");
}
sub reply {
	my ($s) = @_;
	my $line = '';
	my $sel = IO::Select->new($s);
	while ($line !~ /^\d{3} [^\n]*\n\z/m) {
		return "(nothing)\n" if !$sel->can_read(3);
		sysread($s, $line, 4096, length $line) or return "(closed)\n";
	}
	return $line;
}
while (<STDIN>) {
	chomp;
	my ($verb, $from, $host, $port, $seconds, $rest) = split ' ', $_, 6;
	my ($s, $what) = dial($from, $host, $port, $seconds);
	if ($verb eq 'say' && $s) {
		$what = reply($s);
		for my $cmd (split /\|/, $rest) {
			last if $what =~ /^\(/;
			print {$s} "$cmd\r\n";
			$s->flush;
			$what = reply($s);
		}
		$what =~ s/\s+/ /g;
	}
	print "$what\n";
}
EOT

sub
enter {
	my ($class, @programs) = @_;

	need(root => 1, programs => ['ip', @programs]);
	MxwardenTest::Netns->enter;
	return;
}

sub
_sh {
	my (@cmd) = @_;
	my ($status, $out, $err) = run_cmd(@cmd);

	croak "@cmd: $err" if $status != 0;
	return $out;
}

sub
new {
	my ($class) = @_;
	my $ns = MxwardenTest::Netns->new('clients');
	my $self = bless { ns => $ns }, $class;

	_sh('ip', 'link', 'add', 'mxw0', 'type', 'veth', 'peer', 'name',
		'mxw1', 'netns', $ns->name);
	_sh('ip', 'addr', 'add', "$server4/24", 'dev', 'mxw0');
	_sh('ip', 'addr', 'add', "$server6/64", 'dev', 'mxw0', 'nodad');
	_sh('ip', 'link', 'set', 'mxw0', 'up');
	$ns->cmd('ip', 'addr', 'add', "$_/24", 'dev', 'mxw1')
	    for map { "198.51.100.$_" } 2, 10 .. 19;
	$ns->cmd('ip', 'addr', 'add', "$_/32", 'dev', 'mxw1')
	    for '203.0.113.7', '203.0.113.200';
	$ns->cmd('ip', 'addr', 'add', '2001:db8:ff::2/64', 'dev', 'mxw1',
		'nodad');
	for my $n (1 .. 3) {
		$ns->cmd('ip', 'addr', 'add', "2001:db8:$n:1::$_/128", 'dev',
			'mxw1', 'nodad') for 7, 8;
	}
	$ns->cmd('ip', 'link', 'set', 'mxw1', 'up');
	_sh('ip', 'route', 'add', '203.0.113.0/24', 'via', '198.51.100.2');
	_sh('ip', 'route', 'add', "2001:db8:$_\::/48", 'via',
		'2001:db8:ff::2') for 1 .. 3;
	my $file = MxwardenTest::tmp_dir() . '/agent.pl';
	spew($file, $agent);
	$self->{pid} = open2($self->{out}, $self->{in}, $ns->prefix, $^X,
		$file);
	$self->{in}->autoflush(1);
	# Nobody listens there: once the link is up, both families say so.
	wait_for {
		$self->try('198.51.100.2', 9) eq 'refused' &&
		    $self->try('2001:db8:ff::2', 9) eq 'refused';
	} 20, 'the link between the namespaces';
	return $self;
}

sub
_agent {
	my ($self, $verb, $from, $port, $rest) = @_;
	my $host = $from =~ /:/ ? $server6 : $server4;
	my $seconds = 0.7 * ($ENV{MXW_TIME_FACTOR} // 1);

	print {$self->{in}} "$verb $from $host $port $seconds " .
	    ($rest // '') . "\n";
	my $line = readline $self->{out};
	croak 'the agent has died' if !defined $line;
	chomp $line;
	return $line;
}

# A TCP connection: "open", "refused" or "timeout".
sub try { my ($self, $from, $port) = @_; return $self->_agent('try', $from, $port) }

# An SMTP session; the last reply, or what went wrong.
sub
say {
	my ($self, $from, $port, @cmds) = @_;

	return $self->_agent('say', $from, $port, join '|', @cmds);
}

# One attempt to guess a password.
sub
guess {
	my ($self, $from, $port) = @_;

	return $self->say($from, $port, 'EHLO bot.example',
		'AUTH PLAIN ' . encode_base64("\0user\@example.com\0wrong", ''));
}

# --- The daemon ---------------------------------------------------------------

# The helper under test.
sub helper { return MxwardenTest::program('mxwarden-priv') }

# Configuration: levels that end within the test.
sub
conf {
	my ($class, $port, %fw) = @_;
	# They must outlast what is tried meanwhile, on a slow machine too.
	my $slow = $ENV{MXW_TIME_FACTOR} // 1;

	return (
		helper => helper(),
		allow => ['127.0.0.0/8', '::1', '198.51.100.19'],
		repeat => { factor => '1.0' },
		level => [
			[defer => { threshold => 4, duration => 3 * $slow . 's',
				action =>
				'DEFER 4.7.1 Too many errors from {address}' }],
			[firewall => { threshold => 8, duration => 5 * $slow . 's',
				action => '521 5.7.1 Abuse from {address}',
				firewall => 'true' }],
		],
		firewall => { ports => ["$port"], interval => '1s', %fw },
	);
}

sub firewall_status { return $_[1]->ctl('status')->{firewall} }

sub
wait_ready {
	my ($self, $d, $entries) = @_;

	return wait_for {
		my $f = $d->ctl('status')->{firewall};
		$f->{state} eq 'ready' && !$f->{pending} &&
		    (!defined $entries || $f->{entries} == $entries);
	} 20, 'the firewall to be ready' . (defined $entries ?
	    " with $entries entries" : '');
}

# Blocks by hand in the kernel, until it is there.
sub
block {
	my ($self, $d, $port, $what, $time, $from) = @_;

	my ($status, undef, $err) = $d->ctl_full('block', $what, '-l',
		'firewall', '-t', $time);
	croak "block $what: $err" if $status != 0;
	wait_for { $self->try($from, $port) ne 'open' } 10,
	    "$what to be dropped" if defined $from;
	return;
}

# The processes whose parent this is, by name.
sub
children {
	my ($class, $pid) = @_;
	my @kids;

	for my $stat (glob '/proc/[0-9]*/stat') {
		my $text = slurp($stat) // next;
		my ($id, $name, $state, $parent) =
		    $text =~ /\A(\d+) \((.*)\) (\S) (\d+)/s or next;
		push @kids, { pid => $id, name => $name, state => $state }
		    if $parent == $pid;
	}
	return @kids;
}

# --- What every backend with sets must do -------------------------------------
#
# $b: name; verdict => 'timeout' or 'refused'; listing => code, the packet
# filter's state as text, of foreign and of our rules; foreign => [commands]
# that make rules of somebody else; destroy => [[what, [command]...]...];
# intrude => [command] that adds 198.51.100.18 to our set for an hour; ours =>
# code, the number of our rules; n_ours: how many there must be.

sub
foreign {
	my ($b) = @_;

	return join '', grep { !/^[:#*]/ && /foreign|198\.18\./ }
	    map { "$_\n" } split /\n/, $b->{listing}->();
}

sub
test_flood {
	my ($net, $b, $d, $pf) = @_;
	my $port = $pf->port;
	my @clients = (['198.51.100.10', '198.51.100.11', 'IPv4'],
		['2001:db8:1:1::7', '2001:db8:2:1::7', 'IPv6']);

	for my $c (@clients) {
		my ($bad, $good, $family) = @$c;
		my $rounds = 0;
		is($net->try($_, $port), 'open', "$_ connects") for $bad, $good;
		# Postfix answers until the kernel does not let it.
		wait_for {
			$rounds++;
			$net->guess($bad, $port);
			$net->try($bad, $port) eq $b->{verdict};
		} 40, "$bad to be dropped";
		cmp_ok($rounds, '>=', 2, "$family: not at the first attempt");
		is($net->try($good, $port), 'open',
			"$family: another client connects meanwhile");
		like($net->say($good, $port, 'EHLO good.example'), qr/\A250/,
			"$family: and is greeted");
		is($net->try('2001:db8:1:1::8', $port), $b->{verdict},
			'IPv6: so is the rest of its /64') if $bad =~ /:/;
	}
	for my $c (@clients) {
		my $bad = $c->[0];
		wait_for { $net->try($bad, $port) eq 'open' } 20,
		    "$bad to be let in again";
		pass("$c->[2]: let in again after its time");
	}
	return;
}

sub
test_by_hand {
	my ($net, $b, $d, $port) = @_;

	for my $c (['203.0.113.0/24', '203.0.113.7', '203.0.113.200'],
	    ['2001:db8:1::/48', '2001:db8:1:1::7', '2001:db8:1:1::8'],
	    ['198.51.100.12', '198.51.100.12', '198.51.100.12'],
	    ['2001:db8:3:1::7', '2001:db8:3:1::7', '2001:db8:3:1::8']) {
		my ($what, $from, $also) = @$c;
		$net->block($d, $port, $what, '1h', $from);
		is($net->try($from, $port), $b->{verdict}, "$what is dropped");
		is($net->try($also, $port), $b->{verdict},
			"$what: all of it") if $also ne $from;
		is($net->try('198.51.100.11', $port), 'open',
			'others are not');
		$d->ctl('unblock', $what);
		wait_for { $net->try($from, $port) eq 'open' } 5,
		    "$what to be free";
		pass("$what is free at once, not after its hour");
	}
	# A prefix, and an address within it: both have their own time.
	$net->block($d, $port, '203.0.113.7', '1h', '203.0.113.7');
	$net->block($d, $port, '203.0.113.0/24', '1h', '203.0.113.200');
	$d->ctl('unblock', '203.0.113.0/24');
	wait_for { $net->try('203.0.113.200', $port) eq 'open' } 5,
	    'the rest of the prefix to be free';
	is($net->try('203.0.113.7', $port), $b->{verdict},
		'an address stays dropped when its prefix is freed');
	$d->ctl('unblock', '--all');
	wait_for { $net->try('203.0.113.7', $port) eq 'open' } 5, 'all free';
	# An address at a lower level frees nothing of its prefix.
	$d->ctl('block', '203.0.113.7', '-l', 'defer', '-t', '1h');
	$net->block($d, $port, '203.0.113.0/24', '1h', '203.0.113.200');
	$d->ctl('block', '203.0.113.7', '-l', 'defer', '-t', '2h');
	is($net->try('203.0.113.7', $port), $b->{verdict},
		'an address at a lower level is dropped with its prefix');
	is($d->blocked('203.0.113.7'), 'firewall', '... as the view says');
	$d->ctl('unblock', '203.0.113.0/24');
	wait_for { $net->try('203.0.113.7', $port) eq 'open' } 5, 'it to be free';
	is($d->blocked('203.0.113.7'), 'defer', 'without the prefix it is not');
	$d->ctl('unblock', '--all');
	# Another time for one that is there.
	$net->block($d, $port, '198.51.100.12', '1h', '198.51.100.12');
	$d->ctl('block', '198.51.100.12', '-l', 'firewall', '-t', '1s');
	wait_for { $net->try('198.51.100.12', $port) eq 'open' } 10,
	    'the shorter time to pass';
	pass('a block can be shortened by hand');
	# A lower level frees it.
	$net->block($d, $port, '198.51.100.12', '1h', '198.51.100.12');
	$d->ctl('block', '198.51.100.12', '-l', 'defer', '-t', '1h');
	wait_for { $net->try('198.51.100.12', $port) eq 'open' } 5,
	    'a lower level to free it';
	pass('a level without firewall takes it out of the kernel');
	$d->ctl('unblock', '--all');
	return;
}

sub
test_repair {
	my ($net, $b, $d, $port) = @_;

	$net->block($d, $port, '198.51.100.12', '1h', '198.51.100.12');
	$net->block($d, $port, '2001:db8:3::/48', '1h', '2001:db8:3:1::8');
	for my $c (@{$b->{destroy}}) {
		my ($what, @cmds) = @$c;
		my $repairs = $net->firewall_status($d)->{repairs};
		_sh(@$_) for @cmds;
		my $left = foreign($b);
		# The interval is a second; by default it would be a minute.
		wait_for { $net->firewall_status($d)->{repairs} > $repairs } 20,
		    "$what: to be noticed";
		$net->wait_ready($d, 2);
		is($net->try('198.51.100.12', $port), $b->{verdict},
			"$what: repaired, an IPv4 block included");
		is($net->try('2001:db8:3:1::8', $port), $b->{verdict},
			"$what: and an IPv6 prefix");
		is($b->{ours}->(), $b->{n_ours}, "$what: no duplicate rules");
		is(foreign($b), $left, "$what: foreign rules as they were");
		_sh(@$_) for @{$b->{foreign}};
		is($net->try('198.51.100.11', $port), 'open',
			"$what: others connect");
	}
	$d->ctl('unblock', '--all');
	$net->wait_ready($d, 0);
	return;
}

# Needs a long interval: nothing is repaired but by hand.
sub
test_ask {
	my ($net, $b, $d, $port) = @_;
	my ($what, @cmds) = @{$b->{destroy}[0]};

	$net->block($d, $port, '198.51.100.12', '1h', '198.51.100.12');
	my ($status, $data) = $d->ctl_full('firewall', 'check');
	is($status, 0, 'firewall check: all there');
	is($data->{result}, 'ok', 'firewall check: JSON');
	_sh(@$_) for @cmds;
	($status, $data) = $d->ctl_full('firewall', 'check');
	is($status, 1, "firewall check after $what");
	is($data->{result}, 'no', 'firewall check: JSON, missing');
	is($net->try('198.51.100.12', $port), 'open', 'check repairs nothing');
	($status, $data) = $d->ctl_full('firewall', 'repair');
	is($status, 1, 'firewall repair: something was missing');
	like($data->{text}, qr/made anew/, 'firewall repair: says so');
	is($net->try('198.51.100.12', $port), $b->{verdict},
		'firewall repair: blocks are back when it returns');
	($status) = $d->ctl_full('firewall', 'repair');
	is($status, 0, 'firewall repair: all was there');
	my ($st, $out) = run_cmd(MxwardenTest::program('mxwarden'), '-s',
		$d->control, 'firewall', 'check');
	is($st, 0, 'firewall check without --json');
	like($out, qr/all rules and sets are there/, 'firewall check: text');
	($st) = run_cmd(MxwardenTest::program('mxwarden'), '-s', $d->control,
		'firewall', 'dance');
	is($st, 2, 'firewall: another word is an error');
	$d->ctl('unblock', '--all');
	return;
}

sub
test_kill {
	my ($net, $b, $d, $port) = @_;
	my $writes = $d->ctl('status')->{daemon}{state_writes};

	$net->block($d, $port, '198.51.100.13', '6s', '198.51.100.13');
	$net->block($d, $port, '198.51.100.12', '1h', '198.51.100.12');
	# Written at once, being by hand; kill -9 must not come in between.
	wait_for {
		$d->ctl('status')->{daemon}{state_writes} > $writes + 1;
	} 10, 'the state to be written';
	my @kids = $net->children($d->pid);
	is(scalar(@kids), 1, 'one helper, for the firewall');
	$d->kill9;
	wait_for { !grep { -d "/proc/$_->{pid}" && (slurp(
	    "/proc/$_->{pid}/stat") // '') !~ /\) Z/ } @kids } 10,
	    'the helper to end';
	pass('kill -9: the helper ends, too');
	is($net->try('198.51.100.12', $port), $b->{verdict},
		'kill -9: what was dropped stays so');
	wait_for { $net->try('198.51.100.13', $port) eq 'open' } 20,
	    'the kernel to let it in';
	pass('kill -9: entries end by themselves');
	_sh(@{$b->{intrude}});
	is($net->try('198.51.100.18', $port), $b->{verdict}, 'an entry that ' .
		'the daemon knows nothing of');
	$d->start;
	$net->wait_ready($d, 1);
	is($net->try('198.51.100.18', $port), 'open',
		'restarted: the sets equal the view');
	is($net->try('198.51.100.12', $port), $b->{verdict},
		'restarted: what it knows is dropped');
	is($b->{ours}->(), $b->{n_ours}, 'restarted: no duplicate rules');
	$d->restart;
	$net->wait_ready($d, 1);
	is($b->{ours}->(), $b->{n_ours}, 'and again');
	return;
}

# Everything, for one backend.
sub
test_backend {
	my ($net, $b) = @_;
	my $sasl = MxwardenTest::Dovecot->new(users => {
		'user@example.com' => 'right' });
	my $pf = MxwardenTest::Postfix->new(main => <<"EOT");
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = ${\$sasl->socket}
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_peername_lookup = no
EOT
	my $port = $pf->port;
	my %fw = (backend => $b->{name}, verdict => $b->{verdict} eq 'refused' ?
	    'reset' : 'drop');
	my %log = (log => [[$pf->log, { rules => ['postfix'] }]]);

	_sh(@$_) for @{$b->{foreign}};
	my $before = foreign($b);
	isnt($before, '', 'there are foreign rules');
	my $d = MxwardenTest::Daemon->new(log => $pf->log, conf => {
		$net->conf($port, %fw), %log });
	$net->wait_ready($d, 0);
	is($b->{ours}->(), $b->{n_ours}, 'our rules are there, once');
	test_flood($net, $b, $d, $pf);
	if (!$b->{short}) {
		test_by_hand($net, $b, $d, $port);
		test_repair($net, $b, $d, $port);
		$before = foreign($b);
		test_kill($net, $b, $d, $port);
		$d->stop;
		is($net->try('198.51.100.12', $port), $b->{verdict},
			'on_stop = keep: it is dropped after the end');
		$d->write_conf({ $net->conf($port, %fw, interval => '1h',
			on_stop => 'remove'), %log });
		$d->start;
		$net->wait_ready($d, 1);
		$d->ctl('unblock', '--all');
		test_ask($net, $b, $d, $port);
		_sh(@$_) for @{$b->{foreign}};
		# Other ports, another verdict: the old rules must go.
		$net->block($d, $port, '198.51.100.12', '1h', '198.51.100.12');
		$d->write_conf({ $net->conf($port, %fw, on_stop => 'keep'),
			%log });
		$d->ctl('reload');
		$d->wait_stderr(qr/'firewall\.\w+' has changed/);
		$d->kill9;
		$d->write_conf({ $net->conf($port, %fw, ports => [25],
			max_entries => 5000, on_stop => 'remove'), %log });
		$d->start;
		$net->wait_ready($d, 1);
		is($b->{ours}->(), $b->{n_ours},
			'another configuration: its rules replace the old');
		is($net->try('198.51.100.12', $port), 'open',
			'another configuration: other ports');
	} else {
		$d->kill9;
		$d->write_conf({ $net->conf($port, %fw, on_stop => 'remove'),
			%log });
		$d->start;
		$net->wait_ready($d);
	}
	$d->stop;
	is($b->{ours}->(), 0, 'on_stop = remove: no rules of ours are left');
	is($net->try('198.51.100.12', $port), 'open',
		'on_stop = remove: all are let in');
	is(foreign($b), $before, 'foreign rules are as they were');
	$pf->stop;
	$sasl->stop;
	return;
}

1;
