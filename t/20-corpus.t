#!/usr/bin/perl
# The shipped rules over the corpus: what every line must be, and must not be.
#
# t/corpus/SET/*.log holds log lines in blocks. A heading tells what all lines
# up to the next one are:
#
#   ## RULE ADDRESS      this rule, with this address
#   ## -                 no rule at all
#
# and may go on with `near RULE` (the lines come close to that rule) and
# `injection` (a client tries to be another rule or another address with them,
# or to be nobody) and `xN` (the line tells of N attempts). RULE may be
# own-refusal, which is in no file; ADDRESS is - for a rule whose lines have
# none. Other lines with a # are comments.
#
# Every rule must have at least two lines, two near misses and one injection.
# All sets are active together, and no line may match two offences; lines with
# an injection may, for then the first one decides.
use strict;
use warnings;

use JSON::PP;
use Test::More;

use MxwardenTest;

my %VERDICT = (offence => 'offence', fault => 'server fault',
	end => 'end of connection', own => 'own refusal',
	join => 'queue id joined', ambiguous => 'ambiguous');

# The rules of a file: name => kind.
sub
read_rules {
	my ($file) = @_;
	my $text = slurp($file) // die "$file: $!";
	my %kinds;

	while ($text =~ /^rule "([^"]+)" \{\n(.*?)^\}/gms) {
		my ($name, $body) = ($1, $2);

		die "$file: $name twice\n" if $kinds{$name};
		$kinds{$name} = $body =~ /^\s*kind\s*=\s*"(\w+)"/m ? $1 :
		    'offence';
	}
	return %kinds;
}

# The lines of a file, each with what it must be.
sub
read_corpus {
	my ($file) = @_;
	my ($block, @lines);
	my $n = 0;

	for my $text (split /\n/, slurp($file) // die "$file: $!") {
		$n++;
		if ($text =~ /\A## (.*)\z/) {
			my ($rule, @words) = split ' ', $1;

			$block = { rule => $rule eq '-' ? undef : $rule };
			$block->{address} = shift @words if $rule ne '-';
			$block->{address} = undef
			    if ($block->{address} // '') eq '-';
			while (defined(my $word = shift @words)) {
				if ($word eq 'near') {
					$block->{near} = shift @words;
				} elsif ($word eq 'injection') {
					$block->{injection} = 1;
				} elsif ($word =~ /\Ax(\d+)\z/) {
					$block->{attempts} = $1;
				} else {
					die "$file:$n: what is '$word'?\n";
				}
			}
		} elsif ($text !~ /\A#|\A\s*\z/) {
			die "$file:$n: a line before any heading\n" if !$block;
			push @lines, { %$block, text => $text, n => $n };
		}
	}
	return @lines;
}

# One object for each line, as `mxwarden explain -` prints it.
sub
explain_lines {
	my ($conf, @lines) = @_;
	my $in = tmp_dir() . '/lines';

	spew($in, map { "$_->{text}\n" } @lines);
	my ($status, $out, $err) = run_cmd('sh', '-c', '"$0" "$@" <' . $in,
	    program('mxwarden'), '-c', $conf, '--json', 'explain', '-');
	die "explain: status $status: $err\n" if $status != 0;
	my @objects = map { decode_json($_) } split /\n/, $out;
	die 'explain: ' . @objects . ' answers for ' . @lines . " lines\n"
	    if @objects != @lines;
	return @objects;
}

sub
show {
	return join ' ', map { defined $_ ? $_ : 'none' } @_;
}

# What is wrong with the answer for a line; '' if nothing is.
sub
complaint {
	my ($line, $got, $kinds) = @_;
	my @offences = grep { ($kinds->{$_} // '') eq 'offence' }
	    $got->{rule} // (), @{$got->{also}};
	# A rule that knows what is no offence is told apart from one that is.
	$got->{rule} //= $got->{marker};
	$got->{address} //= $got->{client};
	my $want = show($line->{rule}, $line->{address});
	my $is = show($got->{rule}, $got->{address});

	return "$is, not $want" if $is ne $want;
	return "$got->{attempts} attempts, not $line->{attempts}"
	    if defined $line->{attempts} &&
	    $got->{attempts} != $line->{attempts};
	if (defined $line->{rule}) {
		my $verdict = $VERDICT{$kinds->{$line->{rule}} // ''};

		return "no such rule" if !defined $verdict;
		return "verdict $got->{verdict}, not $verdict"
		    if $got->{verdict} ne $verdict;
	} elsif ($got->{verdict} !~ /\Ano (?:match|header|address)\z/) {
		return "verdict $got->{verdict}";
	}
	return "matches @offences" if @offences > 1 && !$line->{injection};
	return '';
}

my @files = sort glob src_dir() . '/conf/rules.d/*.conf';
my @sets = map { m{([^/]+)\.conf\z} } @files;
my $conf = tmp_dir() . '/mxwarden.conf';
my (%kinds, %count);

for my $file (@files) {
	my %new = read_rules($file);

	ok(%new, "$file has rules");
	die "$_: in two files\n" for grep { $kinds{$_} } keys %new;
	%kinds = (%kinds, %new);
}
spew($conf, conf_text({ include => \@files, allow => [],
	log => [[tmp_dir() . '/mail.log', { rules => \@sets }]] }));

for my $set (@sets) {
	my @logs = sort glob src_dir() . "/t/corpus/$set/*.log";

	ok(@logs > 0, "there are lines for $set");
	for my $log (@logs) {
		my @lines = read_corpus($log);
		my @got = explain_lines($conf, @lines);
		my ($name) = $log =~ m{([^/]+/[^/]+)\z};
		my @bad;

		for my $i (0 .. $#lines) {
			my $line = $lines[$i];
			my $why = complaint($line, $got[$i],
			    { %kinds, 'own-refusal' => 'own' });

			push @bad, "$name:$line->{n}: $why\n  $line->{text}"
			    if $why ne '';
			$count{$line->{rule}}{lines}++ if defined $line->{rule};
			$count{$line->{near}}{near}++ if defined $line->{near};
			next if !$line->{injection};
			$count{$_}{injection}++ for grep { defined }
			    $line->{rule}, $line->{near};
		}
		is(scalar @bad, 0, "$name: " . @lines . ' lines');
		diag(join "\n", @bad) if @bad;
	}
}

for my $rule (sort keys %kinds) {
	my $c = $count{$rule};
	my $have = join ', ', map { ($c->{$_} // 0) . " $_" }
	    qw(lines near injection);

	ok(($c->{lines} // 0) >= 2 && ($c->{near} // 0) >= 2 &&
	    ($c->{injection} // 0) >= 1, "$rule: $have");
}
for my $rule (sort keys %count) {
	ok($kinds{$rule} || $rule eq 'own-refusal', "$rule exists");
}

done_testing;
