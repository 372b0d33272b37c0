#!/usr/bin/perl
# Shell completion offers what mxwarden takes: bash runs its file, and what it
# completes is compared with the help of every verb; zsh's names the same.
use strict;
use warnings;

use File::Basename qw(dirname);
use MxwardenTest;
use Test::More;

need(programs => ['bash']);

my $dir = src_dir() . '/contrib/completion';
my $bin = dirname(program('mxwarden'));

# What bash offers when the cursor is at the end of the last word.
sub
complete {
	my (@words) = @_;
	my ($status, $out, $err) = run_cmd('bash', '--norc', '--noprofile', '-c',
		'PATH=$1:$PATH; . "$2"; shift 2; COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1)); _mxwarden mxwarden "${@: -1}" ""
		printf "%s\n" "${COMPREPLY[@]}"', 'bash', $bin,
		"$dir/mxwarden.bash", 'mxwarden', @words);

	is($err, '', "@words: no complaint");
	return [sort grep { length } split /\n/, $out];
}

sub
help {
	my ($status, $out) = run_cmd(program('mxwarden'), @_, '--help');

	return $out;
}

sub
options {
	my ($text) = @_;

	$text =~ s/^usage:.*\n//;
	my %have = map { $_ => 1 } map { /(?<![\w-])(-\w\b|--[a-z]+)/g }
	    grep { /^ +-/ } split /\n/, $text;
	return [sort keys %have];
}

my ($list) = help() =~ /^usage:.*?\n\n(.*?)\n\n/s;
my @verbs = $list =~ /^  (\w+) /mg;
cmp_ok(scalar @verbs, '>', 10, 'verbs');
is_deeply(complete(''), [sort @verbs], 'the verbs are those of --help');
is_deeply(complete('-'), options(help()), 'the options are those of --help');
is_deeply(complete('un'), ['unblock'], 'a beginning is completed');
is_deeply(complete('--json', '-s', '/x', 'st'), ['status'],
    'behind options, too');
is_deeply(complete($_, '-'), options(help($_)),
    "$_: the options are those of its --help") for @verbs;

my $conf = src_dir() . '/conf/mxwarden.conf';
is_deeply(complete('-c', $conf, 'list', '-l', ''),
    [qw(defer firewall reject)], 'levels are those of the configuration');
is_deeply(complete('-c', $conf, 'explain', '--rules', 'postf'), ['postfix'],
    'rule sets, too');
is_deeply(complete('allow', ''), [qw(add del list)], 'what allow does');

my $d = MxwardenTest::Daemon->new;
$d->ctl('block', $_) for qw(192.0.2.1 2001:db8:7::/64);
is_deeply(complete('-c', $d->conf_file, 'unblock', ''),
    [qw(192.0.2.1 2001:db8:7::/64)], 'unblock knows who is blocked');
is_deeply(complete('-c', $d->conf_file, 'show', '192'), ['192.0.2.1'],
    '... and show');
$d->stop;

my $zsh = slurp("$dir/_mxwarden");
my ($named) = $zsh =~ /verbs=\((.*?)\n\t\)/s;
is_deeply([$named =~ /^\t\t'(\w+):/mg], \@verbs, 'zsh: the same verbs');
my %zsh = map { $_ => 1 } $zsh =~ /(?<![\w-])(--[a-z]+)\b/g;
my %wanted = map { $_ => 1 } map { grep { /^--/ } @{options(help($_))} } @verbs;
is_deeply([sort keys %zsh], [sort keys %wanted], 'zsh: the same options');
if (have_program('zsh')) {
	my ($status, $out, $err) = run_cmd('zsh', '-n', "$dir/_mxwarden");
	is("$status$err", '0', 'zsh can read it');
}
done_testing;
