# Offences: log lines that count one each, and the configuration for it.
package MxwardenTest::Offences;

use strict;
use warnings;

use Exporter qw(import);
use POSIX qw(strftime);
use Time::HiRes qw(time);

our @EXPORT = qw(offence offence_conf offence_twice);

my $pid = 1000;
my $rules;

# An offence by this address, now (or at `t`); each of another connection.
sub
offence {
	my ($addr, $t) = @_;
	my $us;

	$t //= time;
	$us = int(($t - int $t) * 1e6);
	return strftime('%Y-%m-%dT%H:%M:%S', gmtime $t) .
	    sprintf('.%06d+00:00 mx postfix/smtpd[%d]: bad client unknown[%s]',
	    $us, ++$pid, $addr);
}

# Two lines about one offence.
sub
offence_twice {
	my ($addr) = @_;
	my $first = offence($addr);

	(my $second = $first) =~ s/: bad client/: late client/;
	return ($first, $second);
}

# Options for MxwardenTest::Daemon: levels at 5 (defer, 10m) and 10 (reject, 1h).
sub
offence_conf {
	my (%over) = @_;

	if (!$rules) {
		$rules = MxwardenTest::tmp_dir() . '/offences.conf';
		MxwardenTest::spew($rules, <<'END');
rule "test" {
	set = "postfix"
	program = {"smtpd"}
	pattern = "^bad client {client}$"
	weight = 1
	evidence = "e"
	counts = "once"
}
rule "late" {
	set = "postfix"
	program = {"smtpd"}
	pattern = "^late client {client}$"
	weight = 1
	evidence = "e"
	counts = "once"
}
END
	}
	return {
		include => [$rules],
		level => [
			['defer', { threshold => 5, duration => '10m',
				action => 'DEFER 4.7.1 later' }],
			['reject', { threshold => 10, duration => '1h',
				action => 'REJECT 5.7.1 no ({rule})' }],
		],
		%over,
	};
}

1;
