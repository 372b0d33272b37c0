#!/usr/bin/perl
# A real Exim: its own lines about clients that attack are scored with the right
# address, and with the ACL of contrib/exim it refuses those who are blocked, at
# RCPT and at CONNECT, lets everybody pass when mxwardend is not there, and
# does not feed a block with the refusals.
use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);

use MxwardenTest;

need(root => 1, programs => [qw(mount ip unshare)]);
MxwardenTest::Netns->enter(ipv4 => ['192.0.2.25/32', '198.51.100.1/24'],
	ipv6 => ['2001:db8:25::25/128', '2001:db8:1::7/128']);

my $mx4 = '192.0.2.25';
my $mx6 = '2001:db8:25::25';
my $friend = '198.51.100.200';
my $dns = MxwardenTest::Dns->new(
	A => {
		'good.example' => '198.51.100.200',
		'wrong.example' => '192.0.2.77',
		'11.100.51.198.bl.example' => '127.0.0.2',
	},
	TXT => { '11.100.51.198.bl.example' => 'see http://bl.example/' },
	PTR => {
		'198.51.100.200' => 'good.example',
		'198.51.100.31' => 'wrong.example',
	});

# The recipient callout's server: knows nobody.
my $callout = do {
	my $port = free_port();
	my $pid = fork // die "fork: $!";

	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
		my $l = IO::Socket::IP->new(LocalHost => '127.0.0.1',
			LocalPort => $port, Listen => 10, ReuseAddr => 1);
		while (my $s = $l->accept) {
			print $s "220 back.example\r\n";
			while (<$s>) {
				print $s /^RCPT/i ? "550 5.1.1 no such [192.0.2.9]: 535\r\n" :
				    "250 ok\r\n";
				last if /^QUIT/i;
			}
			close $s;
		}
		POSIX::_exit(0);
	}
	MxwardenTest::at_end(sub { kill 'KILL', $pid; waitpid $pid, 0 });
	$port;
};

my $main = <<'EOT';
acl_smtp_rcpt = acl_check_rcpt
acl_smtp_connect = acl_check_connect
acl_smtp_vrfy = acl_check_vrfy
acl_smtp_mail = acl_check_mail
domainlist local_domains = example.com : back.example
auth_advertise_hosts = *
host_lookup = *
pipelining_connect_advertise_hosts =
log_selector = +smtp_protocol_error +smtp_syntax_error +smtp_no_mail +smtp_connection
smtp_accept_max_per_host = 4
EOT
my $acls = <<'EOT';
acl_check_vrfy:
  deny

# Time to speak before the greeting.
acl_check_connect:
  warn    hosts = 198.51.100.22
          delay = 1s
  accept

acl_check_mail:
  deny    senders = *@denied.example
  accept

acl_check_rcpt:
  require message = relay not permitted
          domains = +local_domains
  drop    senders = drop@good.example
          message = go away
  deny    dnslists = bl.example
          message = rejected because $sender_host_address is in a black list \
                    at $dnslist_domain\n$dnslist_text
  require verify = sender
  require verify = recipient/callout=5s
  accept
EOT
my $routers = <<"EOT";
unknown:
  driver = redirect
  local_parts = unknown
  allow_fail
  data = :fail: unknown user
back:
  driver = manualroute
  domains = back.example
  route_list = * 127.0.0.1
  transport = remote_smtp
  self = send
user:
  driver = redirect
  domains = example.com : good.example
  local_parts = user : drop
  data = /dev/null
EOT
my $transports = <<"EOT";
remote_smtp:
  driver = smtp
  port = $callout
  hosts_try_fastopen =
EOT
my $authenticators = <<'EOT';
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${if eq{$auth3}{right}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if eq{$auth2}{right}}
  server_set_id = $auth1
EOT

sub
make_exim {
	my (%over) = @_;

	return MxwardenTest::Exim->new(main => $over{main} // $main,
		acl => $over{acl} // $acls, routers => $routers,
		transports => $transports, authenticators => $authenticators);
}

sub
client {
	my ($x, $from, %arg) = @_;

	return MxwardenTest::Smtp->new(from => $from,
		host => $from =~ /:/ ? $mx6 : $mx4, port => $x->port, %arg);
}

sub
greeted {
	my $c = client(@_);

	$c->ehlo('client.example.net');
	return $c;
}

sub
rcpt {
	my ($x, $from, $to, $sender) = @_;
	my $c = greeted($x, $from);

	$c->mail($sender // 'user@good.example');
	my $reply = $c->rcpt($to);
	$c->quit if !$c->{closed};
	return $reply;
}

my $rules = MxwardenTest::Rules->new;
my $snippet = slurp(src_dir() . '/contrib/exim/acl.mxwarden');

# --- Its own lines -----------------------------------------------------------

# Address => [rule, attack]: the rule is the one that the address must have,
# among those of little weight that come with it.
sub
offences {
	my ($x) = @_;

	return (
		'198.51.100.10' => ['exim-auth-failed', sub {
			my $c = greeted($x, $_[0]);
			$c->auth_plain('user@example.com', 'guess');
			$c->auth_login('a (b) [192.0.2.9] "c"', 'guess');
		}],
		'2001:db8:1::7' => ['exim-auth-failed', sub {
			greeted($x, $_[0])->auth_plain('user', 'guess');
		}],
		'198.51.100.12' => ['exim-auth-protocol', sub {
			greeted($x, $_[0])->cmd('AUTH NTLM H=[192.0.2.9]');
		}],
		'198.51.100.13' => ['exim-relay', sub {
			rcpt($x, $_[0], 'someone@elsewhere.example');
		}],
		'198.51.100.14' => ['exim-unknown-recipient', sub {
			rcpt($x, $_[0], 'unrouteable@example.com');
		}],
		'198.51.100.15' => ['exim-unknown-recipient', sub {
			rcpt($x, $_[0], 'unknown@example.com');
		}],
		'198.51.100.16' => ['exim-recipient-denied', sub {
			rcpt($x, $_[0], 'nobody@back.example');
		}],
		'198.51.100.11' => ['exim-dnsbl', sub {
			rcpt($x, $_[0], 'user@example.com');
		}],
		'198.51.100.17' => ['exim-recipient-denied', sub {
			rcpt($x, $_[0], 'user@example.com',
				'drop@good.example');
		}],
		'198.51.100.18' => ['exim-sender-verify', sub {
			rcpt($x, $_[0], 'user@example.com',
				'someone@nowhere.example');
		}],
		'198.51.100.19' => ['exim-sender-denied', sub {
			greeted($x, $_[0])->mail('x@denied.example');
		}],
		'198.51.100.20' => ['exim-vrfy', sub {
			greeted($x, $_[0])->cmd('VRFY a@[192.0.2.9]');
		}],
		'198.51.100.21' => ['exim-helo-syntax', sub {
			client($x, $_[0])->ehlo('(x) [192.0.2.9]');
		}],
		'198.51.100.22' => ['exim-synchronization', sub {
			my $c = client($x, $_[0], greet => 0);
			$c->raw("EHLO H=[192.0.2.9] \"x\r\n");
			eval { $c->reply };
		}],
		'198.51.100.32' => ['exim-synchronization', sub {
			my $c = client($x, $_[0]);
			$c->raw("EHLO x\r\nMAIL FROM:<\"x\"\@[192.0.2.9]>\r\n");
			eval { $c->reply };
		}],
		'198.51.100.23' => ['exim-too-many', sub {
			my $c = client($x, $_[0]);
			$c->{closed} or $c->cmd('FOO [192.0.2.9]') for 1 .. 6;
		}],
		'198.51.100.24' => ['exim-too-many', sub {
			my $c = client($x, $_[0]);
			$c->{closed} or $c->cmd('NOOP [192.0.2.9]') for 1 .. 14;
		}],
		'198.51.100.25' => ['exim-protocol', sub {
			greeted($x, $_[0])->cmd('MAIL FROM:<x y [192.0.2.9]>');
		}],
		'198.51.100.26' => ['exim-protocol', sub {
			greeted($x, $_[0])->cmd('RCPT TO:<x@[192.0.2.9]>');
		}],
		'198.51.100.27' => ['exim-unqualified', sub {
			greeted($x, $_[0])->mail('x');
		}],
		'198.51.100.28' => ['exim-concurrency', sub {
			my @c = map { client($x, $_[0]) } 1 .. 6;
		}],
		'198.51.100.29' => ['exim-no-mail', sub {
			client($x, $_[0])->quit;
		}],
		'198.51.100.30' => ['exim-drop', sub {
			my $c = greeted($x, $_[0]);
			$c->mail('user@good.example');
			$c->close;
		}],
		'198.51.100.33' => ['exim-no-rdns', sub {
			client($x, $_[0])->quit;
		}],
	);
}

subtest 'offences' => sub {
	for my $how ('default log', 'log with zone, pid and ports') {
		# The second one with the ACL at the end of a session.
		my $x = make_exim($how =~ /zone/ ? (acl => "$acls\n$snippet") : (),
		    main => $how =~ /zone/ ? "log_timezone\n" .
		    "acl_smtp_notquit = acl_mxwarden_notquit\n" .
		    $main =~ s/^log_selector = .*\K/ +pid +incoming_port +incoming_interface/mr :
		    $main);
		my %offences = offences($x);

		for my $addr (sort keys %offences) {
			$offences{$addr}[1]->($addr);
		}
		is(rcpt($x, $friend, 'user@example.com'), '250 Accepted',
		    "$how: a friend");
		# It logs when a connection is over.
		wait_for {
			my $found = $rules->offences($x->log_text);
			!grep { !$found->{$_}{$offences{$_}[0]} }
			    keys %offences
		} 20, 'each attack: ' . join "\n", map {
			my $found = $rules->offences($x->log_text);
			$found->{$_}{$offences{$_}[0]} ? () :
			    "$_ $offences{$_}[0] in\n" . join "\n",
			    grep { /\Q[$_]\E/ } split /\n/, $x->log_text
		} sort keys %offences;
		my @objects = $rules->explain($x->log_text);
		my $found = $rules->offences($x->log_text);

		is(scalar(grep { $_->{verdict} eq 'no header' } @objects), 0,
		    "$how: the header of every line is understood");
		# The harness itself looks whether Exim greets.
		delete $found->{$_} for '127.0.0.1';
		is_deeply([sort keys %$found], [sort keys %offences],
		    "$how: all offenders, and nobody else");
		for my $o (grep { $_->{verdict} eq 'offence' } @objects) {
			my ($first) = $o->{line} =~ /\[((?!192\.0\.2\.)[0-9a-f]*[.:][0-9a-f.:]+)\]/;

			next if $o->{rule} eq 'exim-no-rdns';
			is($o->{address}, $first // '', "$o->{rule}")
			    or diag($o->{line});
		}
		like($x->log_text, qr/ F=<\S+> rejected RCPT .*back/,
		    'a callout was made');
		$x->stop;
	}
};

# A line that two clients could have written is nobody's, but the ACL at the end of
# the session tells whose it was; and where both lines are clear, they count once.
subtest 'synchronization' => sub {
	my $x = make_exim(acl => "$acls\n$snippet", main =>
	    "${main}acl_smtp_notquit = acl_mxwarden_notquit\n");
	my $other = '" H=[192.0.2.9] next input="x';
	my %early = (
		'198.51.100.40' => "NOOP\r\nNOOP x\r\n",
		'198.51.100.41' => "NOOP x$other\r\nNOOP y\r\n",
		'198.51.100.42' => "NOOP\r\nNOOP x$other\r\n",
		'2001:db8:1::7' => "NOOP x$other\r\nNOOP x$other\r\n",
	);

	for my $addr (sort keys %early) {
		my $c = greeted($x, $addr);

		$c->raw($early{$addr});
		$c->reply;
		$c->hung_up;
	}
	wait_for { !$x->busy } 20, 'Exim to be done';
	my $lines = () = $x->log_text =~ / synchronization error \(/g;
	my $sum = $rules->replay($x->log_text);
	my $found = $rules->offences($x->log_text);

	is($lines, 4, 'four lines of Exim');
	is_deeply([sort grep { $found->{$_}{'exim-synchronization'} } keys %$found],
	    ['198.51.100.40'], 'one of them is clear');
	is_deeply([sort grep { $found->{$_}{'exim-synchronization-end'} }
	    keys %$found], [sort keys %early], 'four of the ACL');
	for my $addr (sort keys %early) {
		my $hits = $sum->{$addr =~ s/::7\z/::\/64/r}{rules};
		my $n = ($hits->{'exim-synchronization'} // 0) +
		    ($hits->{'exim-synchronization-end'} // 0);

		is($n, 1, "$addr: once");
	}
	is($sum->{'192.0.2.9'}, undef, 'and nobody else');
	$x->stop;
};

# --- Asking the policy server ------------------------------------------------

sub
acl_with_port {
	my ($d, $before) = @_;
	my $port = $d->port;
	my $acl = $snippet;

	$acl =~ s/inet:127\.0\.0\.1:10040/inet:127.0.0.1:$port/ or
	    die 'acl.mxwarden does not name the endpoint';
	return ($before ? $acls =~ s/^acl_check_rcpt:\n\K/$before/mr : $acls) .
	    $acl;
}

# The level that an address has in the end.
sub
block_by_attack {
	my ($d, $x, $addr, $level) = @_;

	for (1 .. 40) {
		my $c = greeted($x, $addr);
		$c->auth_plain('user', 'guess') if !$c->{closed};
		$c->close;
		return if try_for {
			($d->blocked($addr) // '') eq $level
		} 0.3;
	}
	BAIL_OUT("$addr never reached $level");
	return;
}

my @levels = (
	[defer => { threshold => 5, duration => '1h', action =>
		'DEFER 4.7.1 Too many errors from {address}, try again later' }],
	[reject => { threshold => 10, duration => '1h', action =>
		'REJECT 5.7.1 Abuse from {address} ({rule})' }],
	[hangup => { threshold => 20, duration => '1h', action =>
		'521 5.7.1 Abuse from {address} ({rule})' }],
);

sub
make_pair {
	my (%arg) = @_;
	my $dir = tmp_dir() . '/pair' . free_port();
	my $x = make_exim();
	my $d = MxwardenTest::Daemon->new(log => $x->log, conf => {
		level => \@levels, allow => ['127.0.0.0/8'],
		include => [src_dir() . '/conf/rules.d/exim.conf'],
		log => [[$x->log, { rules => ['exim'] }]] });

	$x->stop;
	$x->write(main => $arg{connect} ?
		$main =~ s/^acl_smtp_connect = .*/$arg{connect}/mr : $main,
		acl => acl_with_port($d, $arg{rcpt}), routers => $routers,
		transports => $transports, authenticators => $authenticators);
	$x->start;
	return ($d, $x);
}

sub
no_feedback {
	my ($d, $x, $addr, $what) = @_;

	$d->wait_read;
	my $before = $d->ctl('show', $addr);
	$what->() for 1 .. 10;
	is(rcpt($x, $friend, 'user@example.com'), '250 Accepted',
	    'a friend passes');
	$x->wait_log(qr/\[mxw\]/);
	$d->wait_read;
	my $after = $d->ctl('show', $addr);
	my %more = map { $_ => $after->{rules}{$_} - ($before->{rules}{$_} // 0) }
	    keys %{$after->{rules}};

	# A missing name in the DNS is told of every connection, refused or not.
	delete $more{'exim-no-rdns'};
	is_deeply([grep { $more{$_} } keys %more], [],
	    'refusals do not feed the block') or diag(explain($after));
	is($after->{until}, $before->{until}, 'and it ends when it did');
	return;
}

subtest 'RCPT' => sub {
	# The line that the README has.
	my ($line) = slurp(src_dir() . '/contrib/exim/README') =~
	    /^ *(require acl = acl_mxwarden RCPT)$/m or die 'README';
	my ($d, $x) = make_pair(rcpt => "  $line\n");
	my $addr = '198.51.100.40';

	is(rcpt($x, $addr, 'user@example.com'), '250 Accepted',
	    'not blocked: accepted');
	block_by_attack($d, $x, $addr, 'defer');
	like(rcpt($x, $addr, 'user@example.com'),
	    qr/\A450 4\.7\.1 Too many errors from \Q$addr\E, .*\[mxw\]\z/,
	    'defer');
	no_feedback($d, $x, $addr,
	    sub { rcpt($x, $addr, 'user@example.com') });
	block_by_attack($d, $x, $addr, 'reject');
	like(rcpt($x, $addr, 'user@example.com'),
	    qr/\A550 5\.7\.1 Abuse from \Q$addr\E \(exim-auth-failed\) \[mxw\]\z/,
	    'reject');
	like(rcpt($x, $addr, 'user@example.com', ''), qr/\A550 5\.7\.1 /,
	    'reject, null sender');
	no_feedback($d, $x, $addr,
	    sub { rcpt($x, $addr, 'user@example.com') });
	block_by_attack($d, $x, $addr, 'hangup');
	my $c = greeted($x, $addr);
	$c->mail('user@good.example');
	like($c->rcpt('user@example.com'),
	    qr/\A521 5\.7\.1 Abuse from \Q$addr\E .*\[mxw\]\z/, 'hangup: 521');
	ok($c->hung_up, 'hangup: Exim hangs up');
	no_feedback($d, $x, $addr,
	    sub { rcpt($x, $addr, 'user@example.com') });
	$c = greeted($x, $addr);
	like($c->auth_plain('user', 'right'), qr/\A235 /, 'a user logs in');
	$c->mail('user@good.example');
	is($c->rcpt('user@example.com'), '250 Accepted',
	    'and is not asked about');
	$c->quit;

	# An IPv6 client, scored as a /64.
	block_by_attack($d, $x, '2001:db8:1::7', 'defer');
	like(rcpt($x, '2001:db8:1::7', 'user@example.com'),
	    qr/\A450 4\.7\.1 .*from 2001:db8:1::7, /, 'IPv6: defer');

	# Gone: mail passes at once. Hanging: after the time-out of two seconds.
	$d->stop;
	is(rcpt($x, $addr, 'user@example.com'), '250 Accepted',
	    'mxwardend stopped: mail passes');
	$d->start;
	like(rcpt($x, $addr, 'user@example.com'), qr/\A521 /,
	    'started again: refused');
	$d->signal('STOP');
	my $start = time;
	is(rcpt($x, $addr, 'user@example.com'), '250 Accepted',
	    'mxwardend hanging: mail passes');
	my $took = time - $start;
	cmp_ok($took, '<', 10 * ($ENV{MXW_TIME_FACTOR} // 1),
	    sprintf 'after %.1f s', $took);
	$d->signal('CONT');
	$x->stop;
	$d->stop;
};

subtest 'CONNECT' => sub {
	my ($line) = slurp(src_dir() . '/contrib/exim/README') =~
	    /^ *(acl_smtp_connect = acl_mxwarden)$/m or die 'README';
	my ($d, $x) = make_pair(connect => $line);
	my $addr = '198.51.100.41';

	like(client($x, $addr)->greeting, qr/\A220 /, 'not blocked: greeted');
	# Its attacks go on until it is not greeted any more.
	for (['defer', qr/\A450 4\.7\.1 Too many errors from \Q$addr\E, /, 6],
	    ['reject', qr/\A550 5\.7\.1 Abuse from \Q$addr\E /, 11],
	    ['hangup', qr/\A521 5\.7\.1 Abuse from \Q$addr\E /, 21]) {
		my ($level, $re) = @$_;

		if ($level eq 'defer') {
			block_by_attack($d, $x, $addr, $level);
		} else {
			# Blocked at CONNECT, it has no way to offend: an
			# administrator raises it.
			$d->ctl('block', $addr, '-l', $level);
		}
		my $c = client($x, $addr);
		like($c->greeting, $re, "$level: at CONNECT");
		like($c->greeting, qr/ \[mxw\]\z/, 'with the tag');
		$c->close;
		no_feedback($d, $x, $addr, sub {
			my $c = client($x, $addr);
			$c->close;
		});
	}
	$d->stop;
	like(client($x, $addr)->greeting, qr/\A220 /,
	    'mxwardend stopped: greeted');
	$x->stop;
};

# --- Redis, where Exim can look it up itself ---------------------------------

subtest 'acl.redis' => sub {
	my $text = slurp(src_dir() . '/contrib/exim/acl.redis');
	my $x = make_exim();
	my ($status, $out, $err) = $x->run('-bV');
	my $has_redis = $out =~ /^Lookups.*\bredis\b/m;

	$text =~ s/^hide redis_servers.*//m if !$has_redis;
	$x->write(main => $main =~
	    s/^acl_smtp_connect = .*/acl_smtp_connect = acl_mxwarden_redis/mr,
		acl => "$acls\n$text", routers => $routers,
		transports => $transports, authenticators => $authenticators);
	($status, undef, $err) = $x->run('-bV');
	is($status, 0, 'Exim reads it') or diag($err);
	# Keys are as mxwardend writes them.
	for (['2001:db8:1:2::7', '2001:db8:1:2::/64'],
	    ['2001:db8::7', '2001:db8::/64']) {
		my (undef, $value) = $x->run('-be', "\${mask_n:$_->[0]/64}");
		is($value, "$_->[1]\n", "the key of $_->[0]");
	}
	(undef, $out, $err) = $x->run('-be',
		'${lookup redis{GET mxwarden:block:192.0.2.1}}');
	like("$out$err", $has_redis ? qr/redis/i :
	    qr/unknown lookup type "redis"/, 'the lookup itself: ' .
	    ($has_redis ? 'there' : 'not built in'));
	$x->stop;
};

done_testing;
