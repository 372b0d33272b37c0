# Rules: what all shipped rules make of a log, line by line and in sum.
#
#   my $rules = MxwardenTest::Rules->new(include => [FILES]);
#   my @lines = $rules->explain($text);    # objects of `mxwarden explain`
#   my $sum = $rules->replay($text);       # address => its object of `replay`
#
# Nobody is on the allow list. All sets are active, but for dovecot-auth where
# Dovecot's logins are in the same log (`without => [...]`).
package MxwardenTest::Rules;

use strict;
use warnings;

use Carp qw(croak);
use JSON::PP ();

my $serial = 0;

sub
new {
	my ($class, %arg) = @_;
	my %without = map { $_ => 1 } @{$arg{without} // []};
	my @files = sort glob MxwardenTest::src_dir() . '/conf/rules.d/*.conf';
	my @sets = grep { !$without{$_} } map { m{([^/]+)\.conf\z} } @files;
	my $base = MxwardenTest::tmp_dir() . '/rules-' . ++$serial;
	my $self = bless { base => $base, conf => "$base.conf",
		files => \@files, sets => \@sets }, $class;

	MxwardenTest::spew($self->{conf}, MxwardenTest::conf_text({
		include => [@files, @{$arg{include} // []}], allow => [],
		log => [["$base.log", { rules => \@sets }]] }));
	return $self;
}

sub files { return @{$_[0]{files}} }
sub sets { return @{$_[0]{sets}} }
sub conf_file { return $_[0]{conf} }

sub
_ctl {
	my ($self, $text, @args) = @_;
	my ($status, $out, $err) = MxwardenTest::run_cmd({ stdin => $text },
		MxwardenTest::program('mxwarden'), '-c', $self->{conf},
		'--json', @args);

	croak "mxwarden @args: status $status: $err" if $status != 0;
	return $out;
}

# One object for each line. `rule` is also set for what is no offence.
sub
explain {
	my ($self, $text) = @_;
	my @lines = split /\n/, $text;
	my @objects = map { JSON::PP::decode_json($_) }
	    split /\n/, $self->_ctl($text, 'explain', '--rules',
	    join(',', @{$self->{sets}}), '-');

	croak @objects . ' answers for ' . @lines . ' lines'
	    if @objects != @lines;
	for my $o (@objects) {
		$o->{line} = shift @lines;
		$o->{rule} //= $o->{marker};
	}
	return @objects;
}

# { address => { rule => lines } } of the lines that are offences.
sub
offences {
	my ($self, $text) = @_;
	my %found;

	$found{$_->{address}}{$_->{rule}}++
	    for grep { $_->{verdict} eq 'offence' } $self->explain($text);
	return \%found;
}

# What the engine makes of it: also lines that belong together.
sub
replay {
	my ($self, $text) = @_;
	my $sum = JSON::PP::decode_json($self->_ctl($text, 'replay', '-n',
		1000000, '-'));

	return { map { $_->{address} => $_ } @{$sum->{offenders}} };
}

1;
