#!/usr/bin/perl
# mail-log.pl LINES [SEED]: a mail log of mixed traffic on standard output: what
# a busy Postfix with Dovecot writes, 12 % of it offences of 2,000 clients. The
# same for the same arguments.
use strict;
use warnings;

use POSIX qw(strftime);

my ($lines, $seed) = (@ARGV, 1);
die "usage: mail-log.pl LINES [SEED]\n" if !defined $lines || $lines !~ /^\d+$/;
srand $seed;
$ENV{TZ} = 'UTC';

sub pick { return $_[int rand @_] }
sub address { return join '.', 1 + int rand 223, map { int rand 256 } 1 .. 3 }

my @bad = map { address() } 1 .. 2000;
my $time = 1_794_000_000;
my @id = map { sprintf '4Zx%08X', $_ } 1 .. 5000;

# Share of each kind of line, and how it is made.
my @kinds = (
	[18, sub { "smtpd", "connect from h$_[0].example.net[" . address() . ']' }],
	[16, sub { "smtpd", "disconnect from h$_[0].example.net[" . address() .
	    '] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5' }],
	[11, sub { 'cleanup', pick(@id) . ": message-id=<$_[0].$_[1]\@example.com>" }],
	[11, sub { 'qmgr', pick(@id) . ": from=<user$_[0]\@example.org>, " .
	    "size=$_[1], nrcpt=1 (queue active)" }],
	[12, sub { 'lmtp', pick(@id) . ": to=<box$_[0]\@example.com>, " .
	    'relay=mx[private/dovecot-lmtp], delay=0.3, ' .
	    'delays=0.1/0/0.1/0.1, dsn=2.0.0, status=sent (250 2.0.0 ' .
	    "<box$_[0]\@example.com> $_[1]abcdef Saved)" }],
	[10, sub { 'qmgr', pick(@id) . ': removed' }],
	[5, sub { 'dovecot', "imap-login: Login: user=<box$_[0]\@example.com>, " .
	    'method=PLAIN, rip=' . address() . ", lip=192.0.2.1, mpid=$_[1], " .
	    'TLS, session=<abc' . $_[0] . '>' }],
	[5, sub { 'smtpd', pick(@id) . ": client=h$_[0].example.net[" .
	    address() . ']' }],
	[4, sub { 'smtpd', 'lost connection after AUTH from unknown[' .
	    pick(@bad) . ']' }],
	[2, sub { 'smtpd', 'warning: unknown[' . pick(@bad) . ']: SASL LOGIN ' .
	    'authentication failed: UGFzc3dvcmQ6' }],
	[1, sub { 'smtpd', 'disconnect from unknown[' . pick(@bad) . '] ehlo=1 ' .
	    'auth=0/1 commands=1/2' }],
	[2, sub { 'smtpd', 'NOQUEUE: reject: RCPT from unknown[' . pick(@bad) .
	    "]: 554 5.7.1 <x$_[0]\@example.net>: Relay access denied; " .
	    "from=<a\@example.org> to=<x$_[0]\@example.net> proto=ESMTP " .
	    "helo=<h$_[1]>" }],
	[3, sub { 'smtpd', 'NOQUEUE: reject: RCPT from unknown[' . pick(@bad) .
	    "]: 550 5.1.1 <no$_[0]\@example.com>: Recipient address rejected: " .
	    'User unknown in virtual mailbox table; from=<a@example.org> ' .
	    "to=<no$_[0]\@example.com> proto=ESMTP helo=<h$_[1]>" }],
);
my @draw = map { my $k = $_; ($k->[1]) x $k->[0] } @kinds;

my ($minute, $stamp) = (-1, '');
for my $i (1 .. $lines) {
	my $t = $time + int($i / 20);
	if ($t != $minute) {
		$minute = $t;
		$stamp = strftime '%b %e %H:%M:%S', gmtime $t;
	}
	my ($program, $text) = $draw[rand @draw]->(int rand 100_000,
		int rand 60_000);
	my $pid = 1000 + int rand 60_000;
	my $tag = $program eq 'dovecot' ? 'dovecot' : "postfix/$program\[$pid]";
	print "$stamp mx1 $tag: $text\n" or die "write: $!\n";
}
