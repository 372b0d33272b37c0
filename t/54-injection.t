#!/usr/bin/perl
# Nobody can get anybody else blocked, or hide: clients of a real Postfix, a real
# postscreen and a real Exim put other addresses, brackets, quotes, our own tag,
# whole log messages and values of 2,000 bytes into everything that is theirs to
# say: HELO, sender, recipient, SASL user and mechanism, commands, subject, what
# comes before the greeting, and the name of their address in the DNS. Each session
# has an address of its own, and commits one offence. In the end no other
# address has a score, and each of them has at least that of a session that
# commits the same offence in plain words. Exim is as contrib/exim recommends it,
# once with more in its log and once without; where it is not, only the former
# holds for certain.
#
# MXW_SEED chooses other sessions (a number, or "random"), MXW_SESSIONS sets their
# number. What is asserted does not depend on how fast they are held, or in what
# order.
use strict;
use warnings;

use Test::More;

use MIME::Base64 qw(encode_base64);
use MxwardenTest;
use Time::HiRes qw(time);

need(root => 1, programs => [qw(postfix postconf dovecot mount)]);
skip_test('there is no user postfix') if !defined getpwnam 'postfix';

MxwardenTest::Netns->enter(ipv4 => ['192.0.2.25/32', '10.0.0.1/8']);

use constant WORKERS => 12;

my $seed = $ENV{MXW_SEED} // 1;
my $wanted = $ENV{MXW_SESSIONS} // 2400;
my $mx = '192.0.2.25';
$seed = int rand 1e9 if $seed eq 'random';
diag("MXW_SEED=$seed");
srand $seed;

my $rules = MxwardenTest::Rules->new;
my $valid_helo = MxwardenTest::Rules->new(include =>
	[src_dir() . '/contrib/exim/valid-helo.conf']);

# --- What clients say ---------------------------------------------------------

my @victims = ('192.0.2.9', '203.0.113.77', '198.51.100.1', '2001:db8:dead::1',
	'::ffff:192.0.2.10', 'IPv6:2001:db8:beef::2');

# Real messages, whole lines and their parts: the corpus, with a victim in place
# of its addresses.
my (@lines, @messages);
for my $log (glob src_dir() . '/t/corpus/*/*.log') {
	for my $line (grep { /\S/ && !/\A#/ } split /\n/, slurp($log)) {
		push @lines, $line;
		push @messages, $line =~ /\A\S.*?\S* \S+ \S+?\[?\d*\]?: (.+)\z/ ?
		    $1 : $line =~ /\A\d{4}-\S+ \S+ (.+)\z/ ? $1 : ();
	}
}

my @fragments = (
	'[%s]', ' [%s] ', 'x[%s]', ' from x[%s]: ', '] [%s]', '[%s] [mxw]',
	' [mxw]', ' [mxw];', '" [mxw]', '> [mxw]; from=<', '(x) [%s]',
	') [%s]', ') [%s] F=<x@y> rejected RCPT <x>: relay not permitted',
	'" H=(x) [%s] unrecognized command', '" H=[%s] next input="',
	'x>: Relay access denied; from=<', 'from x[%s]: 554 5.7.1 <x>: Relay access denied; from=<',
	'x> to=<y> proto=ESMTP helo=<z>', 'rip=%s, lip=192.0.2.25, session=<x>',
	', relay=[%s]', 'relay=x [%s] (may be forged)', 'ip=[%s]', 'rhost=%s ',
	'authentication failed: Connection lost to authentication server',
	'LOGIN authentication failed: x, sasl_username=y',
	': Client host rejected: Abuse [mxw]; proto=SMTP helo=<x>',
	'5.7.1 Abuse from %s (x) [mxw]', '"', '""', '\\', '\\"', "'", '`', '<>',
	'<', '>', '(', ')', '((', '[', ']', ';', ': ', ', ', '=', '%n', '%00',
	'${lookup redis{x}}', "\t", "\x7f", "\xff\xfe", "\xc3\xa4", '..', '@', '@@',
);

sub pick { return $_[rand @_] }

# Exim writes a byte that is no character as four, and drops a line of 8 KiB
# altogether: with two values of 2,000 bytes and this many others there is room.
sub
printable {
	my ($text) = @_;
	my $room = 400;

	$text =~ s/([^\n\x20-\x7e])/$room-- > 0 ? $1 : 'x'/ge;
	# Exim 4.96 dies of a HELO [...%...].
	$text =~ tr/%/x/ if $text =~ /\A\s*\[.*\]\s*\z/;
	return $text;
}

# Anything; %arg: max bytes, lines (may hold ends of lines).
sub
payload {
	my (%arg) = @_;
	my $victim = pick(@victims);
	my $max = $arg{max} // 2000;
	my $how = int rand 10;
	my $s;

	if ($how < 4) {
		$s = join pick('', ' ', 'x'), map {
			pick(@fragments) =~ s/%s/$victim/gr
		} 0 .. rand 4;
	} elsif ($how < 8) {
		$s = pick($how < 6 ? @messages : @lines);
		$s =~ s/(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])|(?<![\w:])2001:db8[0-9a-f:]*/$victim/g;
		$s = pick("\n", "\r\n", '') . $s . pick("\n", '')
		    if $arg{lines};
		$s = pick('', '"', '>', ')', '] ') . $s . pick('', ' [mxw]', '<');
	} else {
		my $part = pick(@fragments, @messages) =~ s/%s/$victim/gr;
		my $fill = pick('a', $part, ' ', ']', '>', '"', ')');

		$s = $fill x (2000 / length $fill);
		$s = rand() < 0.5 ? "$part$s" : substr($s, 0, 2000 -
		    length $part) . $part;
	}
	$s =~ tr/\0//d;
	$s =~ tr/\r\n//d if !$arg{lines};
	return substr $s, 0, $max;
}

# The local part of an address: quoted, so that the address is one. Exim has
# another reason to reject addresses of more than 256 bytes.
my $address_max = 1900;
sub
quoted {
	my ($text) = @_;
	my @bytes;

	$text =~ tr/\0-\x1f\x7f-\xff//d;
	@bytes = $text =~ /./gs;
	s/(["\\])/\\$1/ for @bytes;
	$text = '';
	for my $byte (@bytes) {
		last if length($text) + length $byte > $address_max;
		$text .= $byte;
	}
	return qq("$text");
}

# --- Servers ------------------------------------------------------------------

my $sasl = MxwardenTest::Dovecot->new(users => { user => 'right' },
	conf => "auth_username_chars =\n");
my $pf = MxwardenTest::Postfix->new(start => 0);
my $screen = free_port();
my $dir = $pf->dir;

spew("$dir/header_checks", "/^Subject:/ WARN\n");
# Other sessions are to be rejected for other reasons.
spew("$dir/helo", "/^-/ reject_invalid_helo_hostname\n");
chmod 0644, "$dir/header_checks", "$dir/helo";
$pf->write(main => <<"EOT", master => <<"EOT2");
mynetworks = 127.0.0.0/8
default_process_limit = 200
virtual_mailbox_domains = example.com
virtual_mailbox_maps = inline:{ user\@example.com=x }
virtual_transport = discard
header_checks = regexp:$dir/header_checks
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = ${\$sasl->socket}
smtpd_helo_restrictions = check_helo_access regexp:$dir/helo
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_recipient_restrictions = reject_unknown_sender_domain
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
smtpd_forbidden_commands = CONNECT GET POST
postscreen_greet_wait = 1s
postscreen_greet_action = drop
postscreen_cache_map = btree:\$data_directory/postscreen_cache
postscreen_pipelining_enable = yes
postscreen_pipelining_action = drop
postscreen_non_smtp_command_enable = yes
postscreen_non_smtp_command_action = drop
postscreen_client_connection_count_limit = 500
EOT
$screen inet n - n - 1 postscreen
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
EOT2

my %exim = (main => <<'EOT', acl => <<'EOT2', routers => <<'EOT3',
acl_smtp_rcpt = acl_check_rcpt
acl_smtp_vrfy = acl_check_vrfy
acl_smtp_mail = acl_check_mail
acl_smtp_notquit = acl_mxwarden_notquit
domainlist local_domains = example.com
host_lookup = *
auth_advertise_hosts = *
dns_retrans = 60s
pipelining_connect_advertise_hosts =
EOT
acl_check_vrfy:
  deny

acl_check_mail:
  accept

acl_check_rcpt:
  require message = relay not permitted
          domains = +local_domains
  require verify = sender
  require verify = recipient
  accept
EOT2
user:
  driver = redirect
  local_parts = user : postmaster
  data = :blackhole:
EOT3
	authenticators => <<'EOT');
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if eq{$auth3}{right}}
  server_set_id = $auth2
EOT

$exim{acl} .= slurp(src_dir() . '/contrib/exim/acl.mxwarden');

# What contrib/exim/README recommends, and what else there may be in the lines.
my $selector = "log_selector = +smtp_protocol_error +smtp_syntax_error " .
    "+smtp_no_mail +pid +incoming_port +subject +received_sender " .
    "+received_recipients +smtp_connection\n";

# --- Sessions: each commits one offence ---------------------------------------
#
# $p->(FIELD, OPTIONS) is what the client says there. A session that is over too
# early (421, a lost connection) has been enough of an offence.

sub
auth_plain {
	my ($c, $user) = @_;
	my $reply = $c->cmd('AUTH PLAIN');

	$c->cmd(encode_base64("\0$user\0wrong", '')) if $reply =~ /\A334/;
	return;
}

# HELO with what the client likes, and if need be a decent one.
sub
hello {
	my ($c, $p) = @_;
	my $reply = $c->ehlo($p->('helo', max => 1900));

	$c->ehlo('client.example.net') if $reply !~ /\A250/;
	return;
}

# A sender of what the client likes; a decent one if the server does not take that
# for an address, which is another offence, and one that Exim may not tell of.
sub
mail_from {
	my ($c, $p, $domain) = @_;
	my $reply = $c->cmd('MAIL FROM:<' . quoted($p->('sender')) . "\@$domain>");

	$c->mail("someone\@$domain") if $reply =~ /\A501/;
	return;
}

# Both servers have these.
my %common = (
	auth => sub {
		my ($c, $p) = @_;
		hello($c, $p);
		auth_plain($c, $p->('user', lines => 1));
	},
	mechanism => sub {
		my ($c, $p) = @_;
		hello($c, $p);
		$c->cmd('AUTH ' . ($p->('mechanism') =~ s/\A\s*\z/x/r));
	},
	relay => sub {
		my ($c, $p) = @_;
		hello($c, $p);
		mail_from($c, $p, 'friend.example');
		$c->cmd('RCPT TO:<' . quoted($p->('rcpt')) .
		    '@elsewhere.example>');
	},
	recipient => sub {
		my ($c, $p) = @_;
		hello($c, $p);
		$c->cmd('MAIL FROM:<user@friend.example>');
		$c->cmd('RCPT TO:<' . quoted($p->('rcpt')) .
		    '@example.com>');
	},
	sender => sub {
		my ($c, $p) = @_;
		hello($c, $p);
		mail_from($c, $p, 'nowhere.example');
		$c->cmd('RCPT TO:<user@example.com>');
	},
	commands => sub {
		my ($c, $p) = @_;
		for (1 .. 4) {
			my $text = $p->('command', max => 1900);
			$text =~ s/\A\s*(?:\z|(?=[\w ]*\z))/X/;
			last if $c->cmd("XX$text") eq '';
		}
	},
	syntax => sub {
		my ($c, $p) = @_;
		hello($c, $p);
		for (1 .. 2) {
			last if $c->cmd('MAIL FROM:<a b ' .
			    ($p->('sender', max => 1800) =~ tr/<>()"\\//dr) .
			    ' c@>') eq '';
		}
	},
	# The offence is another one; the subject is in a message before it.
	subject => sub {
		my ($c, $p) = @_;
		hello($c, $p);
		$c->mail('user@friend.example');
		$c->rcpt('user@example.com');
		$c->data('Subject: ' . $p->('subject') . "\n\ntest\n");
		$c->mail('user@friend.example');
		$c->rcpt('someone@elsewhere.example');
	},
	# The name of the address in the DNS; see below.
	name => sub {
		my ($c, $p) = @_;
		hello($c, sub { 'client.example.net' });
		$c->mail('user@friend.example');
		$c->rcpt('someone@elsewhere.example');
	},
);
my %kinds = (
	postfix => {
		%common,
		helo => sub {
			my ($c, $p) = @_;
			# An invalid name.
			$c->ehlo('-' . $p->('helo', max => 1900));
			$c->mail('user@friend.example');
			$c->rcpt('user@example.com');
		},
		http => sub {
			my ($c, $p) = @_;
			$c->cmd('GET ' . $p->('command', max => 1900));
		},
		etrn => sub {
			my ($c, $p) = @_;
			hello($c, $p);
			# No other names are logged.
			$c->cmd('ETRN ' . substr($p->('command') =~
			    s/[^A-Za-z0-9]+/-/gr =~ s/\A-//r, 0, 60) .
			    'x.192.0.2.9.example');
		},
		vrfy => sub {
			my ($c, $p) = @_;
			hello($c, $p);
			$c->cmd('VRFY ' . quoted($p->('rcpt')) .
			    '@example.com');
		},
	},
	exim => {
		%common,
		helo => sub {
			my ($c, $p) = @_;
			$c->ehlo('(' . $p->('helo', max => 1900));
		},
		early => sub {
			my ($c, $p) = @_;
			$c->raw("EHLO client.example.net\r\nMAIL FROM:<" .
			    $p->('sender') . ">\r\n");
			$c->reply;
		},
	},
	postscreen => {
		pregreet => sub {
			my ($c, $p) = @_;
			$c->raw($p->('pregreet', lines => 1) . "\r\n");
			$c->hung_up;
		},
	},
);
# What Exim says nothing of unless it is told to.
$kinds{quiet} = { %{$kinds{exim}} };
delete @{$kinds{quiet}}{qw(mechanism syntax)};
# Postscreen greets after a second, so most sessions speak before.
my %slow = (
	http => sub {
		my ($c, $p) = @_;
		$c->cmd('GET ' . $p->('command', max => 1900));
	},
	pipelining => sub {
		my ($c, $p) = @_;
		$c->raw("EHLO client.example.net\r\nNOOP " .
		    $p->('command', max => 1900) . "\r\n");
		$c->hung_up;
	},
);

# --- The names of addresses -----------------------------------------------------

# A valid name, forward and backward; a valid one that leads elsewhere; bytes.
my (%ptr, %a);
sub
name_address {
	my ($addr) = @_;
	my $how = int rand 3;
	my $label = $how == 2 ? substr(payload(), 0, 60) :
	    pick('1-2-3-4', '192-0-2-9', 'mxw', 'unknown', 'from', '192', '_mxw_');
	my $name;

	$label =~ s/([.\\])/\\$1/g;
	$name = ($label eq '' ? 'x' : $label) . '.192.0.2.9.' .
	    ($addr =~ tr/./-/r) . '.evil.example';
	$ptr{$addr} = $name;
	$a{$name} = $how == 1 ? '192.0.2.9' : $addr;
	return;
}

# --- Running them ---------------------------------------------------------------

my @sessions;    # { server, kind, addr, plain }
my %port;
my $next = 0;

sub
add_sessions {
	my ($server, $kinds, $n) = @_;
	my @kinds = sort keys %$kinds;

	# The first of each kind says it in plain words.
	for my $i (0 .. $n + @kinds - 1) {
		my $kind = $kinds[$i % @kinds];
		my $addr = sprintf '10.%d.%d.%d', 1 + int($next / 60000),
		    int($next / 250) % 240, 1 + $next % 250;

		$next++;
		name_address($addr) if $kind eq 'name' && $i >= @kinds;
		push @sessions, { server => $server, kind => $kind,
			addr => $addr, code => $kinds->{$kind},
			plain => $i < @kinds, seed => int rand 2**31 };
	}
	return;
}

sub
run_session {
	my ($s) = @_;
	my $p = $s->{plain} ? sub { $_[0] ne 'mechanism' ? 'plain' :
		    $s->{server} eq 'postfix' ? 'NTLM' : ';' } : sub {
		my ($field, %arg) = @_;
		return $s->{server} =~ /^(?:exim|quiet|bare)$/ ? printable(payload(%arg)) :
		    payload(%arg);
	};

	srand $s->{seed};
	$address_max = $s->{server} eq 'postfix' ? 1900 : 230;
	eval {
		my $c = MxwardenTest::Smtp->new(from => $s->{addr},
			host => $mx, port => $port{$s->{server}},
			greet => $s->{server} ne 'postscreen' ||
			    $s->{kind} ne 'pregreet',
			seconds => MxwardenTest::patience(120));
		$s->{code}->($c, $p);
		$c->quit if !$c->{closed};
		1;
	} or return $@ =~ /not a reply|hung up/ ? 0 : $@;
	return 0;
}

sub
run_all {
	my @children;

	for my $worker (0 .. WORKERS - 1) {
		my $pid = fork // die "fork: $!";

		push @children, $pid;
		next if $pid;
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
		my $bad = 0;
		for (my $i = $worker; $i < @sessions; $i += WORKERS) {
			my $why = run_session($sessions[$i]) or next;
			diag("$sessions[$i]{server} $sessions[$i]{kind}: $why");
			$bad = 1;
		}
		POSIX::_exit($bad);
	}
	MxwardenTest::at_end(sub { kill 'KILL', @children if @children });
	my $failed = 0;
	for my $pid (splice @children) {
		waitpid $pid, 0;
		$failed += $? != 0;
	}
	is($failed, 0, 'all sessions were held');
	return;
}

add_sessions('postfix', $kinds{postfix}, $wanted * 0.42);
add_sessions('exim', $kinds{exim}, $wanted * 0.20);
add_sessions('quiet', $kinds{quiet}, $wanted * 0.17);
add_sessions('bare', $kinds{quiet}, $wanted * 0.03);
add_sessions('junk', $kinds{exim}, $wanted * 0.06);
add_sessions('postscreen', $kinds{postscreen}, $wanted * 0.12);
add_sessions('postscreen', \%slow, $wanted * 0.03);
my $dns = MxwardenTest::Dns->new(PTR => \%ptr, A => {
	'friend.example' => '10.0.0.1', %a });
$pf->start;
my $exim = MxwardenTest::Exim->new(%exim, main => "$exim{main}\n$selector");
my $quiet = MxwardenTest::Exim->new(%exim);
# Without the ACL at the end of a session.
my $bare = MxwardenTest::Exim->new(%exim, main => $exim{main} =~
	s/^acl_smtp_notquit.*\n//mr);
# Not recommended, and not safe from hiding: whatever a client says is a HELO.
my $junk = MxwardenTest::Exim->new(%exim, main =>
	"$exim{main}\n${selector}helo_accept_junk_hosts = *\n");
%port = (postfix => $pf->port, postscreen => $screen, exim => $exim->port,
	quiet => $quiet->port, bare => $bare->port, junk => $junk->port);

my $start = time;
run_all();
diag(sprintf '%d sessions in %.1f s', scalar @sessions, time - $start);

# The last lines of the last sessions. What postscreen has said before this one
# is in the log before it.
MxwardenTest::Smtp->new(from => '10.0.0.1', host => $mx, port => $pf->port)->quit;
wait_for {
	my $open = () = $pf->log_text =~ m{/smtpd\[\d+\]: connect from \S+\[10\.}g;
	my $gone = () = $pf->log_text =~ m{/smtpd\[\d+\]: disconnect from \S+\[10\.}g;
	$open == $gone && $pf->log_text =~ /: disconnect from \S+\[10\.0\.0\.1\]/;
} 60, 'Postfix to be done';
wait_for { !grep { $_->busy } $exim, $quiet, $bare, $junk } 60,
    'Exim to be done';


# --- What came of it ------------------------------------------------------------

my %by_addr = map { $_->{addr} => $_ } @sessions;
my %of = (postfix => $pf, postscreen => $pf, exim => $exim, quiet => $quiet,
	bare => $bare, junk => $junk);
my (%score, %logged);
for my $server (qw(postfix exim quiet bare junk)) {
	my $log = $of{$server}->log_text;
	# As contrib/exim recommends it, for those who do.
	my $sum = ($server =~ /^(?:exim|quiet)$/ ? $valid_helo : $rules)
	    ->replay($log);
	my %ours = map { $_->{addr} => 1 } grep {
		$of{$_->{server}} == $of{$server}
	} @sessions;
	# The harness looks whether a server greets, and whether it is done.
	my @foreign = sort grep { !$ours{$_} && $_ ne '127.0.0.1' &&
	    $_ ne '10.0.0.1' } keys %$sum;

	is_deeply(\@foreign, [], "$server: no foreign address is scored");
	for my $addr (@foreign) {
		diag("$addr:\n" . join "\n", map { "  $_->{rule}: $_->{line}" }
		    grep { ($_->{address} // '') eq $addr } $rules->explain($log));
	}
	# What comes with an offence is not to stand for it: Exim also counts a
	# HELO that it does not like, before it gets another one.
	for my $addr (keys %$sum) {
		my $hits = $sum->{$addr}{rules};
		my $helo = ($hits->{'exim-helo-syntax'} // 0) * 0.5;

		$score{$addr} = $sum->{$addr}{score} -
		    ($by_addr{$addr} && $by_addr{$addr}{kind} eq 'helo' ? 0 :
		    $helo) - 0.05 * (($hits->{'exim-no-rdns'} // 0) +
		    ($hits->{'exim-no-mail'} // 0) + ($hits->{'exim-drop'} // 0));
	}
	$logged{$server} = ($log =~ tr/\n//);
	diag("$server: $logged{$server} lines, " . keys(%$sum) . ' addresses');
}

my (%plain, %low, %count);
my $late = 0;
$plain{"$_->{server} $_->{kind}"} = $score{$_->{addr}} // 0
    for grep { $_->{plain} } @sessions;
for my $s (grep { !$_->{plain} } @sessions) {
	my $what = "$s->{server} $s->{kind}";
	my $score = $score{$s->{addr}} // 0;

	$count{$what}++;
	next if $score >= $plain{$what} - 1e-6;
	if ($s->{kind} eq 'pregreet' && $of{postscreen}->log_text !~
	    /PREGREET \d+ after \S+ from \[\Q$s->{addr}\E\]/) {
		# On a busy machine some speak after the greeting.
		$late++;
	} else {
		push @{$low{$what}}, $s;
	}
}
for my $what (sort keys %plain) {
	my @low = @{$low{$what} // []};

	# What such a server writes about another client is nobody's.
	next if $what =~ /^(?:bare|junk)/;
	cmp_ok($plain{$what}, '>', 0, "$what: an offence, $plain{$what} points");
	is(scalar @low, 0, "$what: $count{$what} clients, each at least that");
	for my $s (@low[0 .. ($#low < 3 ? $#low : 3)]) {
		diag(($score{$s->{addr}} // 0) . " points for $s->{addr}:\n" .
		    join "\n", map { substr $_, 0, 600 } grep { /\Q$s->{addr}\E(?!\d)/ }
		    split /\n/, $of{$s->{server}}->log_text);
	}
}
cmp_ok($late, '<', $count{'postscreen pregreet'},
    "$late clients of postscreen came after the greeting");
cmp_ok(scalar @sessions, '>=', $wanted, @sessions . ' sessions');
$_->stop for $exim, $quiet, $bare, $junk, $pf, $sasl;
done_testing;
