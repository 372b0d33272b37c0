#!/usr/bin/perl
# A real postscreen: what it logs about clients that fail its tests, before and
# after the greeting, is scored with the right address, by a mxwardend that
# follows its log; and clients that pass are not.
use strict;
use warnings;

use Test::More;

use MxwardenTest;

need(root => 1, programs => [qw(postfix postconf)]);
skip_test('there is no user postfix') if !defined getpwnam 'postfix';

MxwardenTest::Netns->enter(ipv4 => ['192.0.2.25/32', '198.51.100.1/24'],
	ipv6 => ['2001:db8:25::25/128',
		map { sprintf '2001:db8:%x::7/128', $_ } 1 .. 3]);

my $mx4 = '192.0.2.25';
my $mx6 = '2001:db8:25::25';
my $friend = '198.51.100.200';
my $dns = MxwardenTest::Dns->new(
	A => { '11.100.51.198.bl.example' => '127.0.0.2' },
	TXT => { '11.100.51.198.bl.example' => 'from [192.0.2.9]:25: x' });
my $port = free_port();
my $pf = MxwardenTest::Postfix->new(start => 0);
my $dir = $pf->dir;

spew("$dir/denied.cidr", "198.51.100.12 reject\n");
chmod 0644, "$dir/denied.cidr";
$pf->write(main => <<"EOT", master => <<"EOT2");
mynetworks = 127.0.0.0/8
postscreen_access_list = cidr:$dir/denied.cidr
postscreen_cache_map = btree:\$data_directory/postscreen_cache
postscreen_greet_wait = ${\int patience(3)}s
postscreen_greet_action = enforce
postscreen_denylist_action = enforce
postscreen_dnsbl_sites = bl.example*2
postscreen_dnsbl_threshold = 2
postscreen_dnsbl_action = enforce
postscreen_pipelining_enable = yes
postscreen_pipelining_action = enforce
postscreen_non_smtp_command_enable = yes
postscreen_non_smtp_command_action = drop
postscreen_bare_newline_enable = yes
postscreen_bare_newline_action = enforce
postscreen_command_count_limit = 5
postscreen_command_time_limit = ${\int patience(10)}s
postscreen_client_connection_count_limit = 3
EOT
$port inet n - n - 1 postscreen
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
EOT2
$pf->start;

my $d = MxwardenTest::Daemon->new(log => $pf->log, conf => {
	include => [map { src_dir() . "/conf/rules.d/$_.conf" }
	    qw(postfix postscreen)],
	allow => ['127.0.0.0/8'],
	log => [[$pf->log, { rules => [qw(postfix postscreen)],
		start => 'beginning' }]] });

sub
client {
	my ($from, %arg) = @_;

	return MxwardenTest::Smtp->new(from => $from,
		host => $from =~ /:/ ? $mx6 : $mx4, port => $port, %arg);
}

# Past the tests before the greeting.
sub
greeted {
	my $c = client(@_);

	$c->ehlo('client.example.net');
	return $c;
}

sub
pregreet {
	my ($from) = @_;
	my $c = client($from, greet => 0);

	$c->raw("EHLO x\r\nPREGREET 5 after 0 from [192.0.2.9]:25: x\r\n");
	return $c;
}

# Says one thing more than a correct client would.
sub
says {
	my ($bytes) = @_;

	return sub {
		my $c = greeted($_[0]);
		$c->raw($bytes);
		$c->hung_up(1);
		return $c;
	};
}

# Address => [rule, attack]; the attack returns connections that stay open until
# all are done, so that they wait for postscreen together.
my %attacks = (
	'198.51.100.10' => ['postscreen-pregreet', \&pregreet],
	'2001:db8:1::7' => ['postscreen-pregreet', \&pregreet],
	'198.51.100.11' => ['postscreen-dnsbl', sub {
		client($_[0]);
	}],
	'198.51.100.12' => ['postscreen-denylisted', sub {
		client($_[0]);
	}],
	'198.51.100.13' => ['postscreen-hangup', sub {
		client($_[0], greet => 0)->close;
		return;
	}],
	'198.51.100.14' => ['postscreen-command-limit', sub {
		my $c = greeted($_[0]);
		$c->{closed} or $c->cmd('NOOP [192.0.2.9]') for 1 .. 8;
		return $c;
	}],
	'198.51.100.15' => ['postscreen-command-limit',
		says('NOOP ' . '[192.0.2.9]:25 ' x 300 . "\r\n")],
	'198.51.100.16' => ['postscreen-time-limit', sub {
		greeted($_[0]);
	}],
	'198.51.100.17' => ['postscreen-non-smtp',
		says("GET /[192.0.2.9]:25 HTTP/1.0\r\n")],
	'2001:db8:2::7' => ['postscreen-non-smtp',
		says("Subject: from [192.0.2.9]:25 after CONNECT: x\r\n")],
	'198.51.100.18' => ['postscreen-bare-newline',
		says("NOOP from [192.0.2.9]:25\n")],
	'198.51.100.19' => ['postscreen-pipelining',
		says("NOOP\r\nNOOP from [192.0.2.9]:25 after x\r\n")],
	'198.51.100.20' => ['postscreen-no-recipient',
		says("DATA\r\n")],
	'198.51.100.21' => ['postscreen-concurrency', sub {
		map { client($_[0], greet => 0) } 1 .. 5;
	}],
	# Rejected at RCPT for what was found out before the greeting.
	'2001:db8:3::7' => ['postscreen-pregreet', sub {
		my $c = pregreet($_[0]);
		$c->reply;
		$c->{closed} or $c->cmd($_) for
		    'HELO x', 'MAIL FROM:<>', 'RCPT TO:<x@example.com>';
		return $c;
	}],
);

# One process each, for greetings take a second.
my @children;
for my $addr (sort keys %attacks) {
	my $pid = fork // die "fork: $!";

	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
		my @open = eval { $attacks{$addr}[1]->($addr) };
		diag("$addr: $@") if $@;
		# Until postscreen has had enough.
		defined $_ && $_->hung_up(patience(60)) for @open;
		POSIX::_exit($@ ? 1 : 0);
	}
	push @children, $pid;
}
MxwardenTest::at_end(sub { kill 'KILL', @children if @children });
my $c = client($friend);
is($c->ehlo('good.example') =~ /\A250/, 1, 'a friend is greeted');
like($c->quit, qr/\A221/, 'and leaves');
for my $pid (splice @children) {
	waitpid $pid, 0;
	is($?, 0, 'an attack was made');
}

for my $addr (sort keys %attacks) {
	my $rule = $attacks{$addr}[0];
	my $info;

	my $seen = try_for {
		$info = $d->ctl('show', $addr);
		$info->{rules}{$rule};
	} 20;
	ok($seen, "$addr: $rule") or diag(join "\n", explain($info),
		grep { /\Q[$addr]\E/ } split /\n/, $pf->log_text);
	cmp_ok($info->{score}, '>', 0, "$addr has a score");
}
$d->wait_read;
my @known = map { $_->{address} =~ s{::/64\z}{::7}r } @{$d->ctl('top', '-n', 1000)};
is_deeply([sort @known], [sort keys %attacks], 'all offenders, and nobody else');

# Every line about an offence names the address that it is scored for.
my $rules = MxwardenTest::Rules->new;
my @offences = grep { $_->{verdict} eq 'offence' } $rules->explain($pf->log_text);
my @wrong = grep { $_->{line} !~ /(?:from|for|LISTED) \[\Q$_->{address}\E\]/ } @offences;
is(scalar @wrong, 0, @offences . ' lines with the right address') or
    diag(explain(\@wrong));
like($pf->log_text, qr/reject: RCPT from \[2001:db8:3::7\].* Protocol error;/,
    'postscreen has rejected for it');
$d->stop;
$pf->stop;
done_testing;
