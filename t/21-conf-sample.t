#!/usr/bin/perl
# The sample configuration against the table of options in the program
# (mxwardend --options): every option is there, with its default, and is marked
# (restart) if it needs one.
use strict;
use warnings;

use MxwardenTest;
use Test::More;

my $src = src_dir();

# --- What the program says --------------------------------------------------

my ($status, $out, $err) = run_cmd(program('mxwardend'), '--options');
is("$status$err", '0', '--options');
my (%option, @order);
for (split /\n/, $out) {
	my @row = split /\t/, $_, -1;

	is(scalar @row, 6, "six columns: $row[1]");
	my ($section, $name, $type, $default, $change, $help) = @row;
	my $key = $section eq '-' ? $name : "$section.$name";

	ok(!$option{$key}, "$key is there once");
	like($type, qr/\A(?:string|list|boolean|number|real|duration|mode)\z/,
	    "$key: type");
	like($change, qr/\A(?:reload|restart)\z/, "$key: reload or restart");
	isnt($help, '', "$key: help");
	$option{$key} = { default => $default, change => $change,
		section => $section, name => $name, type => $type };
	push @order, $key;
}
cmp_ok(scalar @order, '>', 60, 'options');
my (undef, $short) = run_cmd(program('mxwardend'), '-O');
is($short, $out, '-O is the same');

# --- What the sample says ---------------------------------------------------

# Each setting with the comment that is about it: in a section the one above
# the section.
my (%sample, $section, $comment);
my $last = '';
for (split /\n/, slurp("$src/conf/mxwarden.conf")) {
	s/^#(?=tune|\t|\})//;    # the example of `tune` is a comment
	if (/^# ?(.*)/) {
		$comment = '' if $last ne 'comment';
		$comment .= "$1 ";
		$last = 'comment';
	} elsif (/^(\w+)(?: "[^"]*")? \{$/) {
		$section = $1;
		$last = 'open';
	} elsif (/^\}/) {
		undef $section;
		$last = 'close';
	} elsif (/^\s*(\w+)\s*= (.*)/) {
		my $key = defined $section ? "$section.$1" : $1;

		push @{$sample{$key}}, { value => $2, comment => $comment };
		$last = 'option';
	} else {
		ok(/^\s*(?:#.*|include\(.*\))?$/, "understood: $_");
		$last = '';
	}
}

# --- Are they the same? -----------------------------------------------------

for my $key (@order) {
	my $o = $option{$key};

	next if $o->{section} eq 'rule';    # those are in rules.d
	my $s = $sample{$key};
	ok($s, "$key is in the sample") or next;

	# A title, a threshold or an example has no default.
	if ($o->{section} !~ /^(?:level|tune)$/ && $key ne 'log.rules') {
		my $want = $o->{default};

		$want = $o->{type} eq 'list' ? '{}' : '""' if $want eq '-';
		my ($got) = map { $_->{value} } @$s;
		# Where the helper is depends on how it was configured.
		if ($key eq 'helper') {
			s{.*/}{} for $got, $want;
		}
		is($got, $want, "$key: its default");
	}
	for (@$s) {
		my $marked = $_->{comment} =~ /\(restart\b(.*?)\)/ &&
		    $1 !~ /`\Q$o->{name}\E`/;

		is($marked ? 'restart' : 'reload', $o->{change},
		    "$key: is it read on a reload?");
	}
}
for my $key (sort keys %sample) {
	ok($option{$key}, "$key of the sample is an option");
}

# What is not given has the value that the sample gives.
my $empty = tmp_dir() . '/empty.conf';
spew($empty, '');
for my $file ($empty, "$src/conf/mxwarden.conf") {
	($status, $out, $err) = run_cmd(program('mxwardend'), '-t', '-c',
		$file);
	is($status, 0, "$file is taken") or diag $err;
}

done_testing;
