# Scoring against a second implementation (MxwardenTest::Model): the decisions
# of `mxwarden replay --decisions` over random logs must be the model's, line
# by line.
#
# MXW_SEEDS="7 8 9" chooses the seeds, MXW_LINES the length of each log.

use strict;
use warnings;

use Test::More;

use MxwardenTest;
use MxwardenTest::Model;

use constant { IDLE => 3600, MARGIN => 120 };

my @seeds = split ' ', $ENV{MXW_SEEDS} // '1 2 3 4';
my $lines = $ENV{MXW_LINES} // 100_000;

# What one message says. The rules are of this test alone; `text` is the
# pattern, and with CLIENT and NUM filled in, the message.
my @rules = (
	{ name => 'plain-one', weight => 1, text => 'alpha from CLIENT' },
	{ name => 'plain-small', weight => 0.3, text => 'beta from CLIENT: x' },
	{ name => 'plain-big', weight => 2.75, text => 'gamma from CLIENT' },
	{ name => 'forgive', weight => -1.5, text => 'welcome CLIENT' },
	{ name => 'total-alone', weight => 0.5, counts => 'total',
		text => 'tally from CLIENT NUM' },
	{ name => 'fault', kind => 'fault', weight => 1, evidence => 'auth',
		text => 'warning: CLIENT: server away' },
	{ name => 'auth-each', weight => 1.25, evidence => 'auth',
		text => 'warning: CLIENT: wrong password' },
	{ name => 'auth-once', weight => 2, evidence => 'auth',
		counts => 'once', text => 'lost CLIENT' },
	{ name => 'auth-total', weight => 1.1, evidence => 'auth',
		counts => 'total', ends => 1, text => 'closed CLIENT NUM' },
	{ name => 'auth-sofar', weight => 0.9, evidence => 'auth',
		counts => 'total', text => 'so far CLIENT NUM' },
	{ name => 'helo-once', weight => 1.5, evidence => 'helo',
		counts => 'once', text => 'greeting of CLIENT is odd' },
	{ name => 'gone', kind => 'end', text => 'gone CLIENT' },
	# Known to the program without a rule.
	{ name => 'own', kind => 'own', text => 'NOQUEUE: reject: RCPT from ' .
		'CLIENT: 554 5.7.1 <x>: Client host rejected: Abuse [mxw]; ' .
		'from=<> to=<a@example.com> proto=ESMTP helo=<beta>' },
);
my @noise = (
	'connect from CLIENT',
	'quoted: alpha from CLIENT',
	'closed CLIENT ok=3/3',
	'alpha from unknown[unknown]',
	'alpha from unknown[192.0.2.300]',
	'tally from CLIENT ok=x/4',
);

sub pick { return $_[int rand @_] }

# A random configuration, as the model and as the program take it.
sub
make_conf {
	my $n = 1 + int rand 4;
	my $threshold = 0;
	my @levels;

	for my $i (1 .. $n) {
		$threshold += pick(0.5, 1, 2.5, 3.25, 5, 8);
		push @levels, { name => "level$i", threshold => $threshold,
			duration => pick(5, 30, 61, 300, 1800, 7200) };
	}
	return {
		window => pick(45, 120, 600, 1800, 5400),
		ipv4_prefix => pick(32, 32, 24, 29),
		ipv6_prefix => pick(64, 64, 56, 48, 128),
		levels => \@levels,
		repeat => { factor => pick(1, 1.5, 2, 3),
			max => pick(600, 3600, 86400),
			memory => pick(400, 3600, 20000, 2592000) },
	};
}

sub
conf_file {
	my ($c, $path) = @_;

	spew($path, conf_text({
		state_dir => tmp_dir(),
		user => '',
		control => '',
		log => [["/nonexistent/mail.log", { rules => ['model'] }]],
		score => { window => "$c->{window}s",
			ipv4_prefix => $c->{ipv4_prefix},
			ipv6_prefix => $c->{ipv6_prefix} },
		repeat => { factor => $c->{repeat}{factor},
			max => "$c->{repeat}{max}s",
			memory => "$c->{repeat}{memory}s" },
		level => [map { [$_->{name}, { threshold => $_->{threshold},
			duration => "$_->{duration}s",
			action => 'REJECT 5.7.1 Abuse' }] } @{$c->{levels}}],
		rule => MxwardenTest::Model::rule_sections('model', @rules),
	}));
	return;
}

# The same address in one of the ways it can be written.
sub
spelled {
	my ($addr) = @_;

	return $addr if rand > 0.1;
	return "::ffff:$addr" if $addr !~ /:/;
	return uc $addr;
}

my @months = qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec);

# A timestamp in a random form; and the time that it says.
sub
timestamp {
	my ($t) = @_;
	my $sec = int $t;

	if (rand() < 0.3) {
		my @f = gmtime $sec;
		return (sprintf('%s %s %02d:%02d:%02d', $months[$f[4]],
		    rand() < 0.5 ? sprintf('%2d', $f[3]) :
			sprintf('%02d', $f[3]), @f[2, 1, 0]), $sec);
	}
	my $digits = pick(0, 3, 6);
	my $frac = $digits ? sprintf("%.${digits}f", $t - $sec) : '0';
	$frac = '0' if $frac >= 1;
	my $zone = pick('Z', '+00:00', '+01:00', '-05:30', '+0200');
	my $off = $zone =~ /([-+])(\d\d):?(\d\d)/ ?
	    ($1 eq '-' ? -1 : 1) * ($2 * 3600 + $3 * 60) : 0;
	my @f = gmtime($sec + $off);
	my $text = sprintf '%04d-%02d-%02dT%02d:%02d:%02d%s%s',
	    $f[5] + 1900, $f[4] + 1, @f[3, 2, 1, 0],
	    $frac =~ /\.(\d+)/ ? ".$1" : '', $zone;
	return ($text, $sec + $frac);
}

# Clients: few that come often, many that come seldom; neighbours within one
# prefix.
sub
make_clients {
	my @c;

	push @c, sprintf '198.51.%d.%d', int rand 4, 1 + int rand 250
	    for 1 .. 150;
	push @c, sprintf '2001:db8:%x:%x::%x', int rand 3, int rand 20,
	    1 + int rand 3 for 1 .. 100;
	push @c, sprintf '2001:db8:%x:%x:%x:0:0:%x', int rand 3, int rand 3,
	    int rand 3, int rand 5 for 1 .. 50;
	return @c;
}

# Writes a log and returns the decisions that the model makes of it.
sub
make_log {
	my ($path, $conf, $n) = @_;
	my $model = MxwardenTest::Model->new(%$conf);
	my @clients = make_clients();
	my $pace = pick(0.2, 1, 3);
	# The same all day, so that a seed gives the same log again.
	my $t = 86400 * int(time / 86400 - 8);
	my (@expected, %last);

	open my $fh, '>', $path or die "$path: $!";
	for my $i (1 .. $n) {
		$t += -log(1 - rand) * $pace;
		# A quiet hour now and then: scores and strikes are forgotten.
		$t += pick(100, 1000, 8000) if rand() < 0.0005;
		my $back = rand() < 0.1 ? rand 5 : 0;
		my ($stamp, $when) = timestamp($t - $back);
		my $client = $clients[int(@clients * rand() ** 3)];
		my $pid = 1000 + int rand 5;
		my $name = pick('unknown', 'mail.example.com', 'a-1.example');
		my $head = "$stamp mx1 postfix/" . pick('', 'submission/');

		if (rand() < 0.15) {
			my $text = pick(@noise);
			$text =~ s/CLIENT/$name\[$client]/;
			print $fh $head, pick('smtpd', 'smtpd', 'cleanup'),
			    "[$pid]: $text\n";
			next;
		}
		# Nothing here decides what "an hour ago" means to the second:
		# no line follows another one of its connection so late.
		my $seen = $last{"$pid " .
		    MxwardenTest::Model::canonical($client)} //= {};
		redo if grep { abs($when - $_ - IDLE) < MARGIN } values %$seen;
		my $rule = pick(@rules);
		$seen->{$rule->{evidence} // ''} = $when;
		$seen->{refused} = $when if ($rule->{kind} // '') eq 'own' ||
		    ($rule->{counts} // 'each') ne 'each';
		my $ok = int rand 3;
		my $total = 1 + int rand 5;
		my $text = $rule->{text};
		my $port = rand() < 0.2 ? ':' . (1024 + int rand 60000) : '';
		my $where = "$name\[" . spelled($client) . "]$port";
		my $num = "ok=$ok/" . ($ok + $total);

		$text =~ s/CLIENT/$where/;
		$text =~ s/NUM/$num/;
		print $fh "${head}smtpd[$pid]: $text\n";
		my $decision = $model->line($when, $client, $rule, $pid,
		    $total);
		push @expected, [$i, $decision] if defined $decision;
	}
	close $fh or die "$path: $!";
	return @expected;
}

for my $seed (@seeds) {
	my $dir = tmp_dir() . "/seed-$seed";

	srand $seed;
	mkdir $dir or die "$dir: $!";
	my $conf = make_conf();
	conf_file($conf, "$dir/mxwarden.conf");
	my @expected = make_log("$dir/mail.log", $conf, $lines);
	my ($status, $out, $err) = run_cmd({ timeout => 300 },
	    program('mxwarden'), '-c', "$dir/mxwarden.conf", 'replay',
	    '--decisions', "$dir/mail.log");
	my @got = split /\n/, $out;
	my $i = 0;

	$i++ while $i < @got && $i < @expected && $got[$i] eq $expected[$i][1];
	is($status, 0, "seed $seed: replay exits with 0") or diag $err;
	ok($i > 50, "seed $seed: enough decisions to compare");
	my $what = sprintf 'seed %s: %d lines, %d decisions as the model makes '
	    . 'them', $seed, $lines, scalar @expected;
	ok($i == @got && $i == @expected, $what) or do {
		my $e = $expected[$i];
		diag "decision $i, line ", $e ? $e->[0] : '(none)';
		diag 'expected ', $e ? $e->[1] : '(nothing)';
		diag 'got      ', $got[$i] // '(nothing)';
		spew("/tmp/model-$seed.diff",
		    "expected\n", (map { "$_->[1]\n" } @expected),
		    "got\n$out") if $ENV{MXW_KEEP};
	};
}

done_testing;
