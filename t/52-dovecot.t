#!/usr/bin/perl
# A real Dovecot: failed logins over IMAP, POP3, and where they are installed
# submission and ManageSieve, are scored with the right address and as often as
# they were made, whatever the user names look like.
use strict;
use warnings;

use Test::More;

use MIME::Base64 qw(encode_base64);
use MxwardenTest;

need(root => 1, programs => [qw(dovecot ip mount unshare)]);
my ($libexec) = grep { -x "$_/imap-login" }
    qw(/usr/lib/dovecot /usr/libexec/dovecot);
skip_test('Dovecot has no imap-login here') if !defined $libexec;
my @protocols = grep {
	-x "$libexec/" . ($_ eq 'sieve' ? 'managesieve' : $_) . '-login'
} qw(imap pop3 submission sieve);

MxwardenTest::Netns->enter(ipv4 => ['192.0.2.25/32', '198.51.100.1/24'],
	ipv6 => ['2001:db8:25::25/128',
		map { sprintf '2001:db8:%x::7/128', $_ } 1 .. 9]);

my $syslog = MxwardenTest::Syslog->new;
my $dovecot = MxwardenTest::Dovecot->new(users => { user => 'right' },
	logins => \@protocols, syslog => 1, conf => <<'EOT');
# Every byte is allowed: the worst case.
auth_username_chars =
login_trusted_networks =
mail_max_userip_connections = 1000
submission_relay_host = 127.0.0.1
mail_location = maildir:/nonexistent
remote 198.51.100.250 {
  disable_plaintext_auth = yes
}
EOT

my $d = MxwardenTest::Daemon->new(log => $syslog->log, conf => {
	include => [src_dir() . '/conf/rules.d/dovecot.conf'],
	score => { window => '1h' },
	log => [[$syslog->log, { rules => ['dovecot'],
		start => 'beginning' }]] });

# A connection that takes lines and gives those that begin like answers.
sub
client {
	my ($protocol, $from) = @_;
	my $s = IO::Socket::IP->new(PeerPort => $dovecot->port($protocol),
		LocalHost => $from, Timeout => 20, PeerHost => $from =~ /:/ ?
		'2001:db8:25::25' : '192.0.2.25') or die "connect: $!";

	return $s;
}

# Lines up to one that matches; dies when the other side is gone before.
sub
answer {
	my ($s, $re) = @_;

	local $SIG{ALRM} = sub { die "no answer\n" };
	alarm 30 * ($ENV{MXW_TIME_FACTOR} // 1);
	while (defined(my $line = <$s>)) {
		if ($line =~ $re) {
			alarm 0;
			return $line;
		}
	}
	alarm 0;
	die "hung up, not $re\n";
}

my %GREETING = (imap => qr/^\* OK/, pop3 => qr/^\+OK/,
	submission => qr/^220 /, sieve => qr/^OK/);
my %FINAL = (imap => qr/^a /, pop3 => qr/^(?:\+OK|-ERR)/,
	submission => qr/^\d+ /, sieve => qr/^(?:OK|NO|BYE)/);
my %AUTH = (
	imap => sub { "a AUTHENTICATE PLAIN $_[0]" },
	pop3 => sub { "AUTH PLAIN $_[0]" },
	submission => sub { "AUTH PLAIN $_[0]" },
	sieve => sub { "AUTHENTICATE \"PLAIN\" \"$_[0]\"" },
);
my %QUIT = (imap => 'a LOGOUT', pop3 => 'QUIT', submission => 'QUIT',
	sieve => 'LOGOUT');

# Tries these names with a wrong password in one connection.
sub
attack {
	my ($protocol, $from, @names) = @_;
	my $s = client($protocol, $from);

	answer($s, $GREETING{$protocol});
	for my $name (@names) {
		my $b64 = encode_base64("\0$name\0wrong", '');

		print $s $AUTH{$protocol}->($b64), "\r\n";
		my $line = answer($s, $FINAL{$protocol});
		die "$protocol: $line" if $line =~ /^(?:a OK|\+OK|235|OK)/;
	}
	print $s "$QUIT{$protocol}\r\n";
	1 while defined <$s>;
	return;
}

my @names = (
	'user',
	'user,192.0.2.9',
	'a,b,c@example.com',
	'user)[192.0.2.9]',
	'rip=192.0.2.9',
	'x>, method=PLAIN, rip=192.0.2.9, lip=192.0.2.25, session=<abc>',
	'x>, rip=192.0.2.9',
	'"user", rip=192.0.2.9, session=<x',
	'x (auth failed, 9 attempts in 1 secs): user=<y>, rip=192.0.2.9',
	"x\nNov 20 10:00:00 mx dovecot: imap-login: Disconnected (auth failed, "
	    . '1 attempts in 1 secs): user=<x>, rip=192.0.2.9, lip=192.0.2.25',
	'x,192.0.2.9,<abc>): unknown user',
	'x,192.0.2.9): Password mismatch',
	'x' x 500 . ',192.0.2.9',
	"\xff\xfe\x01[mxw]",
	'',
);

# Address => number of attempts.
my (%made, %children);
my $n = 10;
for my $protocol (@protocols) {
	my @attacks = map { ['198.51.100.' . $n++, $_] } @names;

	# Three in one connection count three.
	push @attacks, ['198.51.100.' . $n++, 'user', 'user', 'rip=192.0.2.9'];
	$made{$_->[0]} = @$_ - 1 for @attacks;
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
		eval { attack($protocol, @$_) for @attacks; 1 } or diag($@);
		POSIX::_exit($@ ne '');
	}
	$children{$pid} = $protocol;
}
MxwardenTest::at_end(sub { kill 'KILL', keys %children if %children });
attack('imap', '2001:db8:1::7', $names[5]);
$made{'2001:db8:1::7'} = 1;
attack('pop3', '2001:db8:2::7', 'user', 'nobody');
$made{'2001:db8:2::7'} = 2;

for my $pid (keys %children) {
	waitpid $pid, 0;
	is($?, 0, 'attacks over ' . delete $children{$pid});
}

# No offence to speak of: a client that only looks.
my $s = client('imap', '198.51.100.200');
answer($s, $GREETING{imap});
print $s "a LOGOUT\r\n";
1 while defined <$s>;

# And passwords in clear where that is not allowed.
$s = client('imap', '198.51.100.250');
answer($s, $GREETING{imap});
print $s "a LOGIN rip=192.0.2.9 x\r\n";
answer($s, $FINAL{imap});
print $s "a LOGOUT\r\n";
1 while defined <$s>;
$made{'198.51.100.250'} = 1;

# What dovecot says itself of a user that is right.
$s = client('imap', '198.51.100.201');
answer($s, $GREETING{imap});
print $s 'a AUTHENTICATE PLAIN ', encode_base64("\0user\0right", ''), "\r\n";
like(answer($s, $FINAL{imap}), qr/^a OK/, 'the right password');
print $s "a LOGOUT\r\n";
1 while defined <$s>;

$syslog->wait_log(qr/rip=\Q$_\E, /) for sort keys %made;

sub
hits {
	my ($addr, $rule) = @_;
	my $info = $d->ctl('show', $addr);

	return $info->{rules}{$rule} // 0;
}

for my $addr (sort keys %made) {
	wait_for { $d->ctl('show', $addr)->{score} } 20, "$addr: a score";
	my ($line) = $syslog->log_text =~
	    /^(.* \(auth failed.* rip=\Q$addr\E, .*)$/m;
	is($d->score($addr), 2 * $made{$addr}, "$addr: $made{$addr}") or
	    diag($line);
	is(hits($addr, 'dovecot-auth-failed'), 1, "$addr: in one line");
}
wait_for { hits('198.51.100.200', 'dovecot-drop') } 20, 'dovecot-drop';
$d->wait_read;
is($d->score('198.51.100.201'), 0, 'who logs in is not scored');
my @known = map { $_->{address} =~ s{::/64\z}{::7}r }
    @{$d->ctl('top', '-n', 1000)};
is_deeply([sort @known], [sort keys %made, '198.51.100.200'],
    'all offenders, and nobody else');
$d->stop;

# The lines of the authentication service, for servers without others. It says
# nothing of empty names.
my @auth = MxwardenTest::Rules->new(without => ['dovecot'])
    ->explain($syslog->log_text);
my %seen;
for my $o (grep { $_->{verdict} eq 'offence' } @auth) {
	$seen{$o->{address}} += $o->{attempts};
}
for my $addr (sort keys %made) {
	my @lines = grep { $_->{line} =~ / auth: .*,\Q$addr\E,<[^<>]*>\)/ } @auth;

	next if !@lines;
	is($seen{$addr}, $made{$addr}, "$addr: set dovecot-auth") or
	    diag(join "\n", map { "$_->{verdict}: $_->{line}" } @lines);
}
is_deeply([grep { !$made{$_} } keys %seen], [], 'no other address');
cmp_ok(scalar keys %seen, '>=', @names, scalar(keys %seen) . ' addresses');
$dovecot->stop;

# Its own log files have neither host nor tag, and one of two times.
for my $time ('', 'log_timestamp = "%Y-%m-%d %H:%M:%S "') {
	my $what = $time eq '' ? 'log_path' : 'log_path, with a date';
	my $from = 10;

	$dovecot = MxwardenTest::Dovecot->new(users => { user => 'right' },
		logins => ['imap', 'pop3'], conf => "$time\n" . <<'EOT');
auth_username_chars =
mail_max_userip_connections = 1000
EOT
	%made = ();
	for my $name (@names, ['user', 'x', 'rip=192.0.2.9']) {
		my @all = ref $name ? @$name : $name;
		my $addr = '198.51.100.' . $from++;

		attack($from % 2 ? 'imap' : 'pop3', $addr, @all);
		$made{$addr} = @all;
	}
	for my $addr (sort keys %made) {
		wait_for { $dovecot->log =~ /rip=\Q$addr\E, / } 20,
		    "$what: $addr";
	}
	$dovecot->stop;
	for my $without ('dovecot-auth', 'dovecot') {
		my $rules = MxwardenTest::Rules->new(without => [$without]);
		my @lines = $rules->explain($dovecot->log);

		%seen = ();
		is(scalar(grep { $_->{verdict} eq 'no header' } @lines), 0,
		    "$what: all lines have a header");
		$seen{$_->{address}} += $_->{attempts}
		    for grep { $_->{verdict} eq 'offence' } @lines;
		is_deeply(\%seen, \%made, "$what, without $without") or
		    diag(join "\n", map { "$_->{verdict}: $_->{line}" } @lines);
	}
}
done_testing;
