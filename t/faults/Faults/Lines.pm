# Lines: what the logs say, and the rules that know it.
#
# A connection is a few lines of one process about one client, as an SMTP server
# writes them: several tell of the same attempt, some of none, the last one that
# it is over. Each has a process id of its own.
package Faults::Lines;

use strict;
use warnings;

use POSIX qw(floor strftime);

# `text` is the pattern and, with CLIENT and NUM filled in, the message. Those
# of one evidence stand in the order in which they are tried.
my @rules = (
	{ name => 'one', weight => 1, text => 'alpha from CLIENT' },
	{ name => 'small', weight => 0.25, text => 'beta from CLIENT: x' },
	{ name => 'big', weight => 2.5, text => 'gamma from CLIENT' },
	{ name => 'forgive', weight => -1.5, text => 'welcome CLIENT' },
	{ name => 'fault', kind => 'fault', weight => 1, evidence => 'auth',
		text => 'warning: CLIENT: server away' },
	{ name => 'auth-each', weight => 1.25, evidence => 'auth',
		text => 'warning: CLIENT: wrong password' },
	{ name => 'auth-once', weight => 2, evidence => 'auth',
		counts => 'once', text => 'lost CLIENT' },
	{ name => 'auth-total', weight => 1, evidence => 'auth',
		counts => 'total', ends => 1, text => 'closed CLIENT NUM' },
	{ name => 'gone', kind => 'end', text => 'gone CLIENT' },
	# Known to the program without a rule.
	{ name => 'own', kind => 'own', text => 'NOQUEUE: reject: RCPT from ' .
		'CLIENT: 554 5.7.1 <x>: Client host rejected: Abuse [mxw]; ' .
		'from=<> to=<a@example.com> proto=ESMTP helo=<beta>' },
);
my %rule = map { $_->{name} => $_ } @rules;

# What may come in one connection.
my @scripts = (
	['noise', 'one', 'gone'],
	['noise', 'one', 'small', 'small', 'gone'],
	['noise', 'big', 'gone'],
	['noise', 'small', 'forgive', 'gone'],
	['noise', 'auth-each', 'auth-once', 'auth-total'],
	['noise', 'auth-each', 'auth-each', 'auth-total'],
	['noise', 'auth-once', 'auth-total'],
	['noise', 'fault', 'auth-once', 'auth-total'],
	['noise', 'own', 'auth-once', 'auth-total'],
	['noise', 'own', 'auth-each', 'one', 'gone'],
	['noise', 'one', 'noise', 'one'],
);

my @noise = ('connect from CLIENT', 'quoted: alpha from CLIENT',
	'alpha from unknown[unknown]', 'closed CLIENT ok=x/4');

sub pick { return $_[int rand @_] }

sub conf { return MxwardenTest::Model::rule_sections('faults', @rules) }

# The messages of a connection: [text, rule or undef, number of attempts].
sub
connection {
	my ($addr) = @_;
	my $who = pick('unknown', 'mail.example.com', 'a-1.example') . "[$addr]" .
	    (rand() < 0.2 ? ':' . (1024 + int rand 60000) : '');
	my ($total, @lines) = (0);

	for my $name (@{pick(@scripts)}) {
		my $r = $rule{$name};
		my $text = $r ? $r->{text} : pick(@noise);
		my $ok = int rand 3;

		$total++ if $name eq 'auth-each';
		my $n = $total + int rand 2;
		$n ||= 1;
		$text =~ s/CLIENT/$who/;
		$text =~ s{NUM}{"ok=$ok/" . ($ok + $n)}e;
		push @lines, [$text, $r, $n];
	}
	return @lines;
}

my @months = qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec);

# A timestamp; and the time that it says.
sub
stamp {
	my ($form, $t) = @_;
	my $sec = floor($t);
	my @f = gmtime $sec;

	return (sprintf('%s %2d %02d:%02d:%02d', $months[$f[4]], @f[3, 2, 1, 0]),
	    $sec) if $form eq 'bsd';
	my $frac = sprintf '%06d', ($t - $sec) * 1e6;
	return (strftime('%Y-%m-%dT%H:%M:%S', @f) . ".${frac}+00:00",
	    $sec + "0.$frac");
}

1;
