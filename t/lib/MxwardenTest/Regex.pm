# Regex: strings that a regular expression of the rules has most work with.
#
#   my $re = MxwardenTest::Regex->new($pattern);    # with {client} and the like
#   my @strings = $re->hostile(8192);
#
# The pattern is parsed into a tree (sequences, alternatives, repeated parts,
# classes, literals). A string that matches is written from the tree; for each
# repeated part one is written where that part is blown up to the wanted length
# with several contents, among them bytes that also fit what follows it, and the
# text that follows itself, again and again. Each string is there whole, with an
# end that does not match, and cut in the middle. All repeated parts at once are
# blown up, too.
package MxwardenTest::Regex;

use strict;
use warnings;

use Carp qw(croak);

# As in lib/core/pattern.c.
my $ADDR = '(?<addr>[0-9A-Fa-f:.]{2,45})';
my $QUOTED = '"(?:[^"\\\\]++|[\\\\].)*+"';
my $WORDS = '(?:' . $QUOTED . '|[\\\\].|[^"()<>@,;:\\\\\[\]])*';
my %SHORT = (
	addr => $ADDR,
	client => '[^][\s]{1,255}\[' . $ADDR . '\](?::\d{1,5})?',
	bracketed => '\[' . $ADDR . '\](?::\d{1,5})?',
	queue => '(?<queue>[0-9A-Za-z]{5,20})',
	queueid => '(?:NOQUEUE|[0-9A-Za-z]{5,20})',
	reply => '[45]\d\d(?: [45]\.\d{1,3}\.\d{1,3})?',
	eximhost => '(?:[^\s()\[\]=]{1,255} )?' .
	    '(?:\((?:[^()\[\]]*+|\[[0-9A-Za-z:.]{1,60}\])\) )?\[' . $ADDR .
	    '\](?::\d{1,5})?(?:(?! F=<) [A-Z][A-Za-z]{0,3}=' .
	    '(?:"[^"\[\]]{0,300}"|[^\s"()]{1,300})){0,8}',
	eximother => '\)[ ]\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?' .
	    '(?:(?! F=<) [A-Z][A-Za-z]{0,3}=' .
	    '(?:"[^"]{0,300}"|[^\s"()]{1,300})){0,8}',
	eximaddress => '(?:' . $QUOTED .
	    '|[\\\\].|[^\s<>()@,;:"\\\\\[\]]++)*+' .
	    '(?:@(?:[^\s<>()@,;:"\\\\\[\]]{1,255}|\[[0-9A-Za-z:.]{2,60}\]))?',
	eximargument => '(?:.{100}|' . $WORDS . '?(?:<++(?:' . $QUOTED .
	    '|[\\\\].|[^"(\\\\<>]++)*+>++' . $WORDS . '?|' .
	    '@(?:[^"()<>@,;:\\\\\[\]]|\[[0-9A-Za-z:.]{2,60}\])*?)?' .
	    '(?:\(.{0,99}?)?)',
	eximtext => '(?:[^<>"@()\[\]]++|\([^<>"@()\[\]]*+\))++',
);

# What a class is tried with: delimiters of mail logs, then the rest.
my @BYTES = (map({ chr } 32 .. 126), "\t", "\x01", "\x80", "\xff");
my @FAVOURITES = ('a', '1', ' ', ']', '[', '>', '<', '"', '(', ')', ':', ',',
	'=', '.', ';', '\\', '/');

sub
new {
	my ($class, $pattern) = @_;
	my $self = bless { repeats => [] }, $class;

	$pattern =~ s/\{([a-z]+)\}/$SHORT{$1} \/\/ croak "unknown {$1}"/ge;
	$self->{text} = $pattern;
	pos($self->{text}) = 0;
	$self->{tree} = $self->_alternatives;
	croak "not understood: " . substr $pattern, pos $self->{text}
	    if pos $self->{text} != length $pattern;
	return $self;
}

# --- Parsing -----------------------------------------------------------------

sub
_alternatives {
	my ($self) = @_;
	my @all = ($self->_sequence);

	push @all, $self->_sequence while $self->{text} =~ /\G\|/gc;
	return @all == 1 ? $all[0] : { type => 'any', of => \@all };
}

sub
_sequence {
	my ($self) = @_;
	my @items;

	while (defined(my $item = $self->_item)) {
		if ($self->{text} =~ /\G(?:([*+?])|\{(\d+)(,?)(\d*)\})([+?]?)/gc) {
			my ($min, $max) = defined $1 ? { '*' => [0, 1e9],
				'+' => [1, 1e9], '?' => [0, 1] }->{$1}->@* :
			    ($2, length $4 ? $4 : $3 ? 1e9 : $2);

			$item = { type => 'repeat', of => $item, min => $min,
				max => $max };
			push @{$self->{repeats}}, $item if $max > 1;
		}
		push @items, $item;
	}
	return { type => 'all', of => \@items };
}

sub
_item {
	my ($self) = @_;

	for ($self->{text}) {
		return { type => 'nothing' } if /\G[\^\$]/gc;
		return { type => 'nothing' } if /\G\\[bBAzZ]/gc;
		if (/\G\(\?<?[!=]/gc) {
			# Looked at by PCRE2, not written by us.
			my $look = $self->_alternatives;
			/\G\)/gc or croak 'no )';
			return { type => 'look', of => $look };
		}
		if (/\G\((?:\?(?::|<(\w+)>|>))?/gc) {
			my $name = $1;
			my $group = $self->_alternatives;
			/\G\)/gc or croak 'no )';
			# Most bytes that may stand in an address make none.
			$group = { type => 'address', of => $group }
			    if ($name // '') eq 'addr';
			$self->{groups}{$name} //= $group if defined $name;
			return $group;
		}
		return $self->{groups}{$1} // croak "no group $1"
		    if /\G\\k<(\w+)>/gc;
		return { type => 'class', re => qr/\A$1\z/s }
		    if /\G(\[\^?\]?(?:\\.|[^\]\\])*\])/gc;
		return { type => 'class', re => qr/\A$1\z/s }
		    if /\G(\\[dDsSwW])/gc;
		return { type => 'class', re => qr/\A.\z/s } if /\G\./gc;
		return { type => 'text', text => chr hex $1 }
		    if /\G\\x([0-9a-fA-F]{2})/gc;
		return { type => 'text', text => $1 } if /\G\\(\W)/gc;
		return { type => 'text', text => $1 } if /\G([^\\|)*+?])/gc;
	}
	return;
}

# --- Writing -----------------------------------------------------------------

sub
_class_bytes {
	my ($node) = @_;

	$node->{bytes} //= [grep { $_ =~ $node->{re} } @FAVOURITES, @BYTES];
	croak "no byte for $node->{re}" if !@{$node->{bytes}};
	return $node->{bytes};
}

# A text for the node. %$w: `blow` (a repeat, or 'all'), its `content` (code
# that makes it), `choice` (which alternative).
sub
_write {
	my ($self, $node, $w) = @_;
	my $type = $node->{type};

	return '' if $type eq 'nothing' || $type eq 'look';
	return $node->{text} if $type eq 'text';
	return _class_bytes($node)->[0] // '' if $type eq 'class';
	return join '', map { $self->_write($_, $w) } @{$node->{of}}
	    if $type eq 'all';
	if ($type eq 'any') {
		my @of = @{$node->{of}};

		# The alternative that has what is blown up.
		for my $one (@of) {
			return $self->_write($one, $w)
			    if ref $w->{blow} && _has($one, $w->{blow});
		}
		return $self->_write($of[$w->{choice} % @of], $w);
	}
	if ($type eq 'address') {
		return '198.51.100.7'
		    if !ref $w->{blow} || !_has($node, $w->{blow});
		return $self->_write($node->{of}, $w);
	}
	my $n = $node->{min};
	if (ref $w->{blow} ? $w->{blow} == $node : $w->{blow} eq 'all') {
		return $w->{content}->($self, $node, $w);
	} elsif (ref $w->{blow} && _has($node->{of}, $w->{blow})) {
		$n ||= 1;
	}
	$n = 2 if $n == 0 && $w->{choice} % 2 == 1 && $node->{max} > 1;
	return join '', map { $self->_write($node->{of}, $w) } 1 .. $n;
}

sub
_has {
	my ($node, $wanted) = @_;

	return 1 if $node == $wanted;
	my $of = $node->{of} // return 0;
	return scalar grep { _has($_, $wanted) } ref $of eq 'ARRAY' ? @$of : $of;
}

# Text up to a length, and up to how often the part may be repeated.
sub
_fill {
	my ($node, $unit, $size) = @_;

	return '' if $unit eq '';
	my $n = int($size / length $unit) + 1;
	# Texts that stand for several of the part are not counted.
	$n = $node->{max} if length $unit == 1 && $n > $node->{max};
	return substr $unit x $n, 0, $size;
}

# Several strings, each at most $size long.
sub
hostile {
	my ($self, $size) = @_;
	my %seen;
	my @blown = (@{$self->{repeats}}, 'all', 'none');

	for my $choice (0 .. 3) {
		my $plain = $self->_write($self->{tree},
			{ blow => 'none', choice => $choice });
		my $room = $size - length $plain;

		for my $blow (@blown) {
			for my $content ($self->_contents($blow, $plain,
			    $choice)) {
				my $per = $blow eq 'all' ?
				    int($room / (@{$self->{repeats}} || 1)) : $room;
				my $s = $self->_write($self->{tree}, {
					blow => $blow, choice => $choice,
					content => sub {
						my (undef, $node) = @_;
						_fill($node, $content->($node),
							$per);
					} });

				$s =~ tr/\t\n//d;
				$seen{substr $s, 0, $size} = 1;
				$seen{substr($s, 0, $size - 1) . "\x01"} = 1;
				$seen{substr $s, 0, length($s) / 2} = 1;
				# Nothing but the end is wrong, and is far off.
				my $short = substr $s, 0, $size - 200;
				$seen{$short . substr $plain, -100} = 1;
			}
		}
	}
	return sort keys %seen;
}

# Code for units to repeat.
sub
_contents {
	my ($self, $blow, $plain, $choice) = @_;
	my $write = sub {
		my ($node, $how) = @_;
		return $self->_write($node->{of}, { blow => 'none',
			choice => $how });
	};
	my @contents = map {
		my $how = $_;
		sub { $write->($_[0], $how) }
	} 0 .. 1;
	my $nth = sub {
		my ($node, $n) = @_;
		return $write->($node, 0) if $node->{of}{type} ne 'class';
		my $bytes = _class_bytes($node->{of});
		return $bytes->[$n % @$bytes] // '';
	};

	return @contents if $blow eq 'none';
	if ($choice == 0) {
		push @contents, map { my $n = $_; sub { $nth->($_[0], $n) } }
		    2 .. 8;
		# Two kinds in turn, so that parts beside each other share.
		push @contents, sub { $nth->($_[0], 0) . $nth->($_[0], 2) };
	}
	# What stands elsewhere in the line, without its end: near matches.
	my $tail = substr $plain, length($plain) / 2;
	push @contents, sub { $plain }, sub { $tail },
	    sub { substr $tail, 0, -1 };
	return @contents;
}

1;
