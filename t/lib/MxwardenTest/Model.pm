# Model: scoring once more, as plainly as it can be said. It shares nothing
# with the program but the description (score.h, attempt.h); a test feeds both
# the same events and compares what they decide.
#
#   new(window, ipv4_prefix, ipv6_prefix, levels => [{name, threshold,
#       duration}...], repeat => {factor, max, memory})
#   rule_sections(set, rules...): the rules as sections of a configuration. The
#       `text` of a rule is its pattern, with CLIENT for the client and NUM for
#       how many attempts succeeded, and were made.
#   line(t, addr, rule, pid, total): one log line that matches the rule; a rule
#       is {name, weight, evidence, counts, kind, ends}; kind "own" is our own
#       refusal. Returns the decision
#       as `replay --decisions` prints it, or nothing.
package MxwardenTest::Model;

use strict;
use warnings;

use POSIX qw(floor strftime);
use Socket qw(AF_INET AF_INET6 inet_ntop inet_pton);

use constant ATTEMPT_IDLE => 3600;

sub
new {
	my ($class, %arg) = @_;

	return bless { ipv4_prefix => 32, ipv6_prefix => 64, %arg, score => {},
		block => {}, strikes => {}, attempts => {}, scopes => {} },
	    $class;
}

sub
rule_sections {
	my ($set, @rules) = @_;
	my @sections;

	for my $r (grep { ($_->{kind} // '') ne 'own' } @rules) {
		my $pattern = $r->{text};

		$pattern =~ s/CLIENT/{client}/;
		$pattern =~ s{NUM}{ok=(?<ok>\\d+)/(?<attempts>\\d+)\$};
		push @sections, [$r->{name}, { set => $set,
			program => ['smtpd'], pattern => "^$pattern",
			(map { defined $r->{$_} ? ($_ => $r->{$_}) : () }
			    qw(weight evidence counts kind)),
			($r->{ends} ? (ends => 'true') : ()) }];
	}
	return \@sections;
}

# The canonical text of an address.
sub
canonical {
	my ($addr) = @_;
	my $family = $addr =~ /:/ ? AF_INET6 : AF_INET;

	return inet_ntop($family, inet_pton($family, $addr));
}

# The address or prefix under which a client is scored, canonical.
sub
scope {
	my ($self, $addr) = @_;

	return $self->{scopes}{$addr} //= do {
		my $family = $addr =~ /:/ ? AF_INET6 : AF_INET;
		my $bytes = inet_pton($family, $addr);
		my $all = 8 * length $bytes;
		my $plen = $self->{$all == 128 ? 'ipv6_prefix' :
		    'ipv4_prefix'};
		my $bits = unpack "B$all", $bytes;

		substr $bits, $plen, $all - $plen, '0' x ($all - $plen);
		inet_ntop($family, pack "B$all", $bits) .
		    ($plen < $all ? "/$plen" : '');
	};
}

# How many attempts a line adds.
sub
attempts {
	my ($self, $t, $addr, $rule, $pid, $total) = @_;
	my $counts = $rule->{counts} // 'each';
	my $refused = $self->{attempts}{"$pid $addr"}{refused};

	if ($counts ne 'each' && $refused && $t - $refused->{t} <= ATTEMPT_IDLE) {
		$refused->{t} = $t;
		return 0;
	}
	if (!$rule->{evidence}) {
		return $counts eq 'total' ? $total : 1;
	}
	my $seen = $self->{attempts}{"$pid $addr"}{$rule->{evidence}} //=
	    { count => 0, t => $t };
	$seen->{count} = 0 if $t - $seen->{t} > ATTEMPT_IDLE;
	my $add = $counts eq 'once' ? ($seen->{count} == 0 ? 1 : 0) :
	    $counts eq 'total' ? ($total > $seen->{count} ?
		$total - $seen->{count} : 0) : 1;
	$seen->{count} += $add;
	$seen->{t} = $t;
	return $add;
}

sub
line {
	my ($self, $t, $addr, $rule, $pid, $total) = @_;
	my $kind = $rule->{kind} // 'offence';
	my $decision;

	$addr = canonical($addr);
	if ($kind eq 'own') {
		$self->{attempts}{"$pid $addr"}{refused} = { t => $t };
	} elsif ($kind ne 'end') {
		my $n = $self->attempts($t, $addr, $rule, $pid, $total);
		$decision = $self->hit($t, $self->scope($addr),
		    $rule->{weight} * $n, $rule->{name})
		    if $kind eq 'offence' && $n > 0;
	}
	delete $self->{attempts}{"$pid $addr"}
	    if $kind eq 'end' || $rule->{ends};
	return $decision;
}

sub
hit {
	my ($self, $t, $scope, $weight, $rule) = @_;
	my $window = $self->{window};
	my $s = $self->{score}{$scope};

	if (!$s || $t - $s->{last} >= $window) {
		$s = $self->{score}{$scope} =
		    { score => 0, first => $t, last => $t, hits => 0 };
	}
	if ($t > $s->{last}) {
		if ($s->{first} < $t - $window) {
			$s->{score} = $s->{score} * $window /
			    ($t - $s->{first});
			$s->{first} = $t - $window;
		}
		$s->{last} = $t;
	}
	$s->{score} += $weight;
	$s->{score} = 0 if $s->{score} < 0;
	$s->{hits}++;
	$s->{rules}{$rule}++;
	return $weight > 0 ?
	    $self->decide($t, $scope, $s->{score}, $rule) : undef;
}

# Only what adds to a score can block.
sub
decide {
	my ($self, $t, $scope, $score, $rule) = @_;
	my $levels = $self->{levels};
	my $repeat = $self->{repeat};
	my ($level) = grep { $score >= $levels->[$_]{threshold} }
	    reverse 0 .. $#$levels;
	my $b = $self->{block}{$scope};

	return if !defined $level;
	if ($b && $b->{until} > $t) {
		return if $level <= $b->{level};
	} else {
		my $st = $self->{strikes}{$scope};
		my $strikes = !$st || $t - $st->{last} >= $repeat->{memory} ?
		    0 : $st->{count};

		$self->{strikes}{$scope} =
		    { count => $strikes + 1, last => $t };
		$b = $self->{block}{$scope} = { until => 0, since => $t,
			strikes => $strikes };
	}
	my $base = $levels->[$level]{duration};
	my $d = $base * $repeat->{factor} ** $b->{strikes};
	if ($d > $repeat->{max}) {
		$d = $base > $repeat->{max} ? $base : $repeat->{max};
	}
	$b->{until} = $t + $d if $t + $d > $b->{until};
	@$b{qw(level score rule)} = ($level, $score, $rule);
	return join ' ', format_time($t), $scope, $levels->[$level]{name},
	    'score=' . format_score($score), "rule=$rule",
	    'until=' . format_time($b->{until});
}

# RFC 3339 in UTC, down to milliseconds, which are left out when zero.
sub
format_time {
	my ($t) = @_;
	my $sec = floor($t);
	my $ms = int(($t - $sec) * 1000 + 0.001);

	return strftime('%Y-%m-%dT%H:%M:%S', gmtime $sec) .
	    ($ms > 0 && $ms < 1000 ? sprintf('.%03dZ', $ms) : 'Z');
}

# At most three decimals, no zeros at the end.
sub
format_score {
	my $text = sprintf '%.3f', $_[0];

	$text =~ s/\.?0+\z//;
	return $text;
}

1;
