# The whole thing against a real Postfix: clients that attack are scored from
# Postfix's own log, and refused at RCPT before any recipient table is read,
# while everybody else's mail passes.
#
# The mailbox map is a server of ours that counts lookups. The configuration
# comes from contrib/postfix; only endpoints are changed. Everything runs in a
# network namespace, with clients' addresses of its own.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);

use MxwardenTest;

need(root => 1, programs => [qw(postfix postconf dovecot)]);
skip_test('there is no user postfix') if !defined getpwnam 'postfix';

MxwardenTest::Netns->enter(
	ipv4 => ['192.0.2.25/32', '198.51.100.1/24'],
	ipv6 => ['2001:db8:25::25/128',
		map { sprintf '2001:db8:%x::7/128', $_ } 1 .. 9],
	hosts => { 'mail.friend.example' => '198.51.100.200',
		'flood.example.net' => '198.51.100.10' },
);

my $mx4 = '192.0.2.25';
my $mx6 = '2001:db8:25::25';
my $friend4 = '198.51.100.200';
my $friend6 = '2001:db8:9::7';

# Mailboxes: "user", and a victim of its own for each attack, so that the map's
# record tells whose mail a lookup was for.
my $map = MxwardenTest::Socketmap->new(table => {
	map { ("$_\@example.com" => "$_/") } 'user',
	    map { "victim-$_" } 1 .. 99,
});
my $sasl = MxwardenTest::Dovecot->new(users => {
	'user@example.com' => 'right',
});

# The levels that are shipped, but for durations that outlast the test.
my @levels = (
	[defer => { threshold => 5, duration => '1h', action =>
		'DEFER 4.7.1 Too many errors from {address}, try again later' }],
	[reject => { threshold => 10, duration => '1h', action =>
		'REJECT 5.7.1 Abuse from {address} ({rule})' }],
);

my $main_cf = <<"EOT";
virtual_mailbox_domains = example.com
virtual_mailbox_maps = ${\$map->map_name}
virtual_transport = maildir
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 100
mynetworks = 127.0.0.0/8 [::1]/128
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = ${\$sasl->socket}
smtpd_helo_required = yes
smtpd_helo_restrictions = reject_invalid_helo_hostname,
    reject_non_fqdn_helo_hostname
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated,
    reject_unauth_destination
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
EOT

# virtual(8) takes no mailbox names from a network table; only smtpd and cleanup
# use the one that counts. Nobody but "user" gets mail here.
my $master_cf = <<'EOT';
maildir unix - n n - - virtual
  -o virtual_mailbox_maps=static:user/
EOT

# A snippet of contrib/postfix, for the endpoint of this daemon.
sub
contrib {
	my ($name, $daemon) = @_;
	my $text = slurp(src_dir() . "/contrib/postfix/$name") //
	    die "contrib/postfix/$name is missing";
	my $port = $daemon->port;

	$text =~ s/inet:127\.0\.0\.1:10040/inet:127.0.0.1:$port/g or
	    die "contrib/postfix/$name does not name the endpoint";
	return $text;
}

# A Postfix and the mxwardend that follows its log: (daemon, postfix).
# main: name of a snippet; master: code that makes text from the daemon.
sub
make_pair {
	my (%arg) = @_;
	my $pf = MxwardenTest::Postfix->new(start => 0);

	# The log does not exist yet, as on a new host.
	my $d = MxwardenTest::Daemon->new(log => $pf->log,
		port => $arg{port}, conf => { level => \@levels,
		log => [[$pf->log, { rules => ['postfix'] }]],
		%{$arg{conf} // {}} });
	$pf->write(main => "$main_cf\nvirtual_mailbox_base = " .
	    $pf->mail_dir . "\n" . ($arg{main} ?
		contrib($arg{main}, $d) : ''),
	    master => $master_cf . ($arg{master} ? $arg{master}->($d) : ''));
	$pf->start;
	my ($conf, $complaint) = $pf->postconf('-n');
	is($complaint, '', 'Postfix reads the snippet without complaint');
	return ($d, $pf);
}

sub
client {
	my ($pf, $from, %arg) = @_;

	return MxwardenTest::Smtp->new(from => $from,
		host => $from =~ /:/ ? $mx6 : $mx4, port => $pf->port, %arg);
}

# A session up to the reply to RCPT.
sub
rcpt {
	my ($pf, $from, $to, %arg) = @_;
	my $c = client($pf, $from);

	$c->ehlo($arg{helo} // 'client.example.net');
	$c->mail($arg{sender} // 'someone@example.net');
	my $reply = $c->rcpt($to);
	$c->quit if $reply ne '' && !$c->{closed};
	return $reply;
}

# --- The attacks: each until mxwardend says that the address is blocked -------

sub
until_level {
	my ($d, $addr, $level, $attack) = @_;

	for my $round (1 .. 40) {
		$attack->();
		# What was logged is read at once; give the last line a moment.
		return $round if try_for {
			($d->blocked($addr) // '') eq $level
		} 0.3;
	}
	fail("$addr never reached $level");
	return;
}

sub
flood_auth {
	my ($pf, $addr) = @_;
	my $c = client($pf, $addr);
	my @bad;

	$c->ehlo('flood.example.net');
	push @bad, $c->auth_plain('user@example.com', 'guess'),
	    $c->auth_login('user@example.com', 'guess');
	$c->quit;
	return @bad;
}

sub
try_relay {
	my ($pf, $addr) = @_;

	return rcpt($pf, $addr, 'someone@elsewhere.example');
}

sub
bad_helo {
	my ($pf, $addr) = @_;

	return rcpt($pf, $addr, 'user@example.com', helo => 'localhost');
}

# --- Everybody else -----------------------------------------------------------

my %sent;    # log file -> messages that must arrive

# An innocent client's mail and a bounce, over both address families.
sub
innocent {
	my ($pf, $when) = @_;

	for my $from ($friend4, $friend6) {
		for my $sender ('friend@friend.example', '') {
			my $c = client($pf, $from);

			$c->ehlo('mail.friend.example');
			my $reply = $c->send_mail($sender, 'user@example.com');
			like($reply, qr/\A250 /, "$when: mail from <$sender> " .
			    "at $from passes");
			$c->quit;
			$sent{$pf->log}++;
		}
	}
	return;
}

sub
all_delivered {
	my ($pf) = @_;
	my $n = $sent{$pf->log};

	wait_for { $pf->delivered('user') >= $n } 60, 'delivery';
	is(scalar $pf->delivered('user'), $n,
	    "all $n innocent messages are in the mailbox");
	return;
}

# Refused with this reply, and no mailbox was looked up for it.
sub
refused {
	my ($pf, $from, $victim, $re, $what, %arg) = @_;
	my $to = "victim-$victim\@example.com";
	my $reply = rcpt($pf, $from, $to, %arg);

	like($reply, qr/$re.*\[mxw\]\z/, "$what: refused");
	is_deeply([$map->lookups(qr/\Avictim-$victim\@/)], [],
	    "$what: no mailbox lookup");
	return;
}

# --- RCPT, as recommended -----------------------------------------------------

subtest 'main.cf.rcpt' => sub {
	my ($d, $pf) = make_pair(main => 'main.cf.rcpt');
	my @attacks = (
		[auth => \&flood_auth, '198.51.100.10', '2001:db8:1::7',
			'postfix-auth-failed'],
		[relay => \&try_relay, '198.51.100.11', '2001:db8:2::7',
			'postfix-relay'],
		[helo => \&bad_helo, '198.51.100.12', '2001:db8:3::7',
			'postfix-helo-invalid'],
	);
	my $victim = 0;

	innocent($pf, 'at the beginning');
	rcpt($pf, $friend4, 'victim-99@example.com');
	ok($map->lookups(qr/\Avictim-99\@/),
	    'an innocent client\'s recipient is looked up');
	for my $attack (@attacks) {
		my ($name, $code, @addrs) = @$attack;
		my $rule = pop @addrs;

		for my $addr (@addrs) {
			my @replies = $code->($pf, $addr);
			like($_, qr/\A5/, "$name from $addr: Postfix says no")
			    for @replies;

			until_level($d, $addr, 'defer',
			    sub { $code->($pf, $addr) }) or return;
			refused($pf, $addr, ++$victim,
			    qr/\A450 4\.7\.1 .*Too many errors from \Q$addr\E, /,
			    "$name from $addr, defer");
			innocent($pf, "while $addr is deferred");
		}
		# A block is raised only by new offences; those that are
		# refused at RCPT never get to the relay or helo check, AUTH
		# does.
		next if $name ne 'auth';
		for my $addr (@addrs) {
			until_level($d, $addr, 'reject',
			    sub { $code->($pf, $addr) }) or return;
			my $re = qr/\A554 5\.7\.1 .*Abuse from \Q$addr\E \($rule\) /;
			refused($pf, $addr, ++$victim, $re,
			    "$name from $addr, reject");
			refused($pf, $addr, ++$victim, $re,
			    "$name from $addr, null sender", sender => '');
		}
	}
	refused($pf, '198.51.100.11', ++$victim, qr/\A450 4\.7\.1 /,
	    'deferred client, null sender', sender => '');
	innocent($pf, 'at the end');
	like(rcpt($pf, '198.51.100.77', 'nobody@example.com'),
	    qr/\A550 5\.1\.1 /, 'an unknown mailbox is Postfix\'s to refuse');

	# Our own refusals are in the log by now; twenty more do not count.
	$d->wait_read;
	for my $addr ('198.51.100.10', '198.51.100.11', '2001:db8:3::7') {
		my $before = $d->ctl('show', $addr);
		my $c = client($pf, $addr);

		$c->ehlo('client.example.net');
		$c->mail('someone@example.net');
		for (1 .. 20) {
			my $reply = $c->rcpt('victim-90@example.com');
			next if $reply =~ /\A[45]\d\d .*\[mxw\]/;
			fail("refusal $_: $reply");
		}
		$c->quit;
		my $n = () = $pf->log_text =~
		    /reject: RCPT from \S*\[\Q$addr\E\]: .*\[mxw\];/g;
		cmp_ok($n, '>=', 20, "$n own refusals of $addr in the log");
		$pf->wait_log(qr/disconnect from \S*\[\Q$addr\E\] .*rcpt=0\/20/);
		$d->wait_read;
		my $after = $d->ctl('show', $addr);
		is($after->{score}, $before->{score}, "$addr: same score");
		is_deeply($after->{rules}, $before->{rules},
		    "$addr: same offences");
		is($after->{until}, $before->{until}, "$addr: same end");
	}
	is_deeply([$map->lookups(qr/victim-(?!99)/)], [],
	    'no lookup for any blocked client at any time');

	# Away: the mail passes, after Postfix has tried twice. A fresh smtpd
	# has no connection to lose.
	$d->stop;
	my $start = time;
	like(rcpt($pf, '198.51.100.10', 'user@example.com'), qr/\A250 /,
	    'mxwardend stopped: default_action=DUNNO lets mail pass');
	cmp_ok(time - $start, '<', patience(30), 'soon');
	innocent($pf, 'mxwardend stopped');
	$pf->wait_log(qr/connect to 127\.0\.0\.1:\d+: Connection refused/);
	$d->start;
	is($d->blocked('198.51.100.10'), 'reject',
	    'started again: the block is still there');
	refused($pf, '198.51.100.10', 91, qr/\A554 5\.7\.1 /,
	    'started again');
	innocent($pf, 'started again');

	# Hanging: the timeout of the snippet, not Postfix's 100 seconds.
	$d->signal('STOP');
	$start = time;
	like(rcpt($pf, $friend4, 'user@example.com'), qr/\A250 /,
	    'mxwardend hanging: mail passes');
	cmp_ok(time - $start, '<', patience(60), sprintf 'after %.1f s',
	    time - $start);
	$d->signal('CONT');
	all_delivered($pf);
	$pf->stop;
	$d->stop;
};

# --- The shortest form, on the port of the documents --------------------------

subtest 'main.cf.plain' => sub {
	my ($d, $pf) = make_pair(main => 'main.cf.plain', port => 10040);
	my ($value) = $pf->postconf('-h', 'smtpd_client_restrictions');

	like($value, qr/check_policy_service inet:127\.0\.0\.1:10040$/,
	    'exactly the documented form');
	until_level($d, '198.51.100.20', 'defer',
	    sub { try_relay($pf, '198.51.100.20') }) or return;
	refused($pf, '198.51.100.20', 30, qr/\A450 4\.7\.1 /, 'plain');
	innocent($pf, 'plain');

	# One session across a restart: the smtpd process that holds the
	# connection finds it closed, connects again and goes on.
	my $c = client($pf, $friend4);
	$c->ehlo('mail.friend.example');
	$c->mail('friend@friend.example');
	like($c->rcpt('user@example.com'), qr/\A250 /, 'before the restart');
	$d->restart;
	like($c->rcpt('user@example.com'), qr/\A250 /,
	    'after a restart: no 451');
	$d->kill9;
	$d->start;
	like($c->rcpt('user@example.com'), qr/\A250 /,
	    'after kill -9 and start: no 451');
	$c->cmd('RSET');
	$c->quit;
	unlike($pf->log_text, qr/problem talking to server/,
	    'and no warning either');
	refused($pf, '198.51.100.20', 31, qr/\A450 4\.7\.1 /,
	    'after the restarts');

	# SIGHUP keeps the connection and the blocks.
	$c = client($pf, '198.51.100.20');
	$c->ehlo('client.example.net');
	$c->mail('');
	like($c->rcpt('victim-32@example.com'), qr/\A450 /, 'before a reload');
	$d->signal('HUP');
	like($c->rcpt('victim-32@example.com'), qr/\A450 /, 'after a reload');
	$c->quit;

	# What the README says of this form when mxwardend is away.
	$d->stop;
	like(rcpt($pf, $friend4, 'user@example.com'), qr/\A451 4\.3\.5 /,
	    'mxwardend stopped: Postfix\'s default action defers');
	$pf->wait_log(qr/problem talking to server 127\.0\.0\.1:10040/);
	all_delivered($pf);
	$pf->stop;
};

# --- A unix socket under queue_directory, as the README has it ----------------

subtest 'unix socket' => sub {
	my $pf = MxwardenTest::Postfix->new(start => 0);
	my $dir = $pf->dir . '/queue/mxwarden';
	my $addr = '198.51.100.25';

	mkdir $dir or die "mkdir $dir: $!";
	my $d = MxwardenTest::Daemon->new(log => $pf->log, start => 0);
	$d->write_conf({ level => \@levels,
		listen => ['inet:127.0.0.1:' . $d->port, "unix:$dir/policy"],
		log => [[$pf->log, { rules => ['postfix'] }]] });
	$d->start;
	my ($service) = slurp(src_dir() . '/contrib/postfix/README') =~
	    /(check_policy_service \{ unix:mxwarden\/policy, .*\})/;
	$pf->write(main => "$main_cf\nvirtual_mailbox_base = " .
	    $pf->mail_dir . "\nsmtpd_client_restrictions = $service\n",
	    master => $master_cf);
	$pf->start;
	until_level($d, $addr, 'defer', sub { try_relay($pf, $addr) }) or
	    return;
	refused($pf, $addr, 33, qr/\A450 4\.7\.1 /, 'unix socket');
	innocent($pf, 'unix socket');
	all_delivered($pf);
	$pf->stop;
	$d->stop;
};

# --- Hanging up ---------------------------------------------------------------

subtest 'mxwarden.conf.hangup' => sub {
	my $pf = MxwardenTest::Postfix->new(start => 0);
	my $rules = src_dir() . '/conf/rules.d/postfix.conf';
	my $snippet = slurp(src_dir() . '/contrib/postfix/mxwarden.conf.hangup');
	my $d = MxwardenTest::Daemon->new(log => $pf->log, text => <<"EOT");
include("$rules")
listen = {"inet:127.0.0.1:%PORT%"}
control = "%CONTROL%"
http = ""
user = ""
state_dir = "%DIR%/state"
log "%LOG%" { rules = {"postfix"} }
$snippet
EOT
	my $addr = '198.51.100.30';

	my $port = free_port();
	$pf->write(main => "$main_cf\nvirtual_mailbox_base = " .
	    $pf->mail_dir . "\n" . contrib('main.cf.rcpt', $d),
	    master => "$master_cf$port inet n - n - - smtpd\n" .
	    contrib('master.cf.submission', $d));
	$pf->start;
	for (['defer', 421, '4.7.1', 'Too many errors'],
	    ['reject', 521, '5.7.1', 'Abuse']) {
		my ($level, $code, $dsn, $text) = @$_;

		until_level($d, $addr, $level,
		    sub { flood_auth($pf, $addr) }) or return;
		my $c = client($pf, $addr);
		$c->ehlo('client.example.net');
		$c->mail('someone@example.net');
		like($c->rcpt("victim-40\@example.com"),
		    qr/\A$code \Q$dsn\E .*$text from \Q$addr\E.*\[mxw\]\z/,
		    "$level: $code");
		ok($c->hung_up, "$level: Postfix hangs up");
		$c = client($pf, $addr, port => $port);
		like($c->greeting, qr/\A$code /, "$level: $code at CONNECT");
		ok($c->hung_up, "$level: Postfix hangs up at CONNECT");
		innocent($pf, $level);
	}
	is_deeply([$map->lookups(qr/victim-40/)], [], 'no mailbox lookup');
	all_delivered($pf);
	$pf->stop;
	$d->stop;
};

# --- Submission: refused instead of greeted -----------------------------------

subtest 'master.cf.submission' => sub {
	my $port = free_port();
	my ($d, $pf) = make_pair(master => sub {
		return "$port inet n - n - - smtpd\n" .
		    "  -o syslog_name=postfix/submission\n" .
		    contrib('master.cf.submission', $_[0]);
	});
	my $addr = '198.51.100.40';
	my $addr6 = '2001:db8:4::7';
	my $submission = sub {
		return client($pf, $_[0], port => $port);
	};

	$pf->wait_port($port);
	for my $from ($addr, $addr6) {
		my $c = $submission->($from);
		like($c->greeting, qr/\A220 /, "$from is greeted at first");
		$c->quit;
		# Passwords are guessed at this service, and it logs under its
		# own name.
		until_level($d, $from, 'reject', sub {
			my $c = $submission->($from);
			return if $c->greeting !~ /\A220/;
			$c->ehlo('client.example.net');
			$c->auth_plain('user@example.com', 'x') for 1 .. 6;
			$c->quit;
		}) or return;
		$d->wait_read;
		my $score = $d->score($from);
		$c = $submission->($from);
		like($c->greeting, qr/\A554 5\.7\.1 .*Abuse from \Q$from\E /,
		    "$from: refused instead of greeted");
		like($c->ehlo('client.example.net'), qr/\A503 /,
		    'EHLO gets nowhere');
		like($c->auth_plain('user@example.com', 'right'), qr/\A503 /,
		    'nor does AUTH, even with the right password');
		$c->quit;
		$pf->wait_log(
		    qr/disconnect from \S*\[\Q$from\E\] ehlo=0\/1 auth=0\/1 /);
		$d->wait_read;
		is($d->score($from), $score, 'which costs nothing more');
	}
	like($pf->log_text, qr{postfix/submission/smtpd\[\d+\]: warning: \S+ SASL},
	    'scored from its own log');

	# A user who knows the password sends mail from elsewhere.
	my $c = $submission->($friend4);
	like($c->greeting, qr/\A220 /, 'a user is greeted');
	$c->ehlo('mail.friend.example');
	like($c->auth_plain('user@example.com', 'right'), qr/\A235 /,
	    'and logs in');
	like($c->send_mail('user@example.com', 'user@example.com'),
	    qr/\A250 /, 'and sends');
	$c->quit;
	$sent{$pf->log}++;
	innocent($pf, 'port 25 meanwhile');
	all_delivered($pf);
	$pf->stop;
	$d->stop;
};

# --- Dry run ------------------------------------------------------------------

subtest 'main.cf.dry-run' => sub {
	my ($d, $pf) = make_pair(main => 'main.cf.dry-run');
	my $addr = '198.51.100.50';

	until_level($d, $addr, 'reject', sub { flood_auth($pf, $addr) }) or
	    return;
	$d->wait_read;
	my $before = $d->ctl('show', $addr);
	my $c = client($pf, $addr);
	$c->ehlo('client.example.net');
	like($c->send_mail('someone@example.net', 'user@example.com'),
	    qr/\A250 /, 'a client that would be refused passes');
	$c->quit;
	$sent{$pf->log}++;
	$pf->wait_log(qr/NOQUEUE: reject_warning: RCPT from \S*\[\Q$addr\E\]: /
	    . qr/554 5\.7\.1 .*Client host rejected: Abuse from .* \[mxw\];/);
	pass('Postfix logs what it would have said');
	$pf->wait_log(qr/disconnect from \S*\[\Q$addr\E\] .*data=1/);
	$d->wait_read;
	is($d->score($addr), $before->{score}, 'and that does not count');
	$d->stop;

	# The other kind of dry run: mxwardend's own.
	my ($d2, $pf2) = make_pair(main => 'main.cf.rcpt',
		conf => { dry_run => 'true' });
	until_level($d2, $addr, 'reject', sub { try_relay($pf2, $addr) }) or
	    return;
	like(rcpt($pf2, $addr, 'user@example.com'), qr/\A250 /,
	    'dry_run = true: scored, and not refused');
	all_delivered($pf);
	$_->stop for $pf, $pf2, $d2;
};

done_testing;
