#!/usr/bin/perl
# The documents are held to the code: every option, verb, module and file that
# they should name is there, with its default, and none that does not exist.
use strict;
use warnings;

use IO::Socket::IP;
use MxwardenTest;
use Test::More;

need(programs => ['mandoc']);

my $src = src_dir();
my @pages = map { "$src/man/$_" } qw(mxwardend.8 mxwarden.8 mxwarden.conf.5
    mxwarden-rules.5);

# --- The manual pages are sound ------------------------------------------------

for my $page (@pages) {
	my ($status, $out, $err) = run_cmd('mandoc', '-Tlint', '-W',
		'warning', $page);
	is("$status$out$err", '0', "mandoc has nothing to say about $page");
}

# --- Options ------------------------------------------------------------------

# A page as {section}{option} = default, or '' where it tells none.
sub
documented {
	my ($page, $of) = @_;
	my (%got, @items);
	my $section = '';

	for (split /\n/, slurp($page)) {
		# Headings of sections are their names; others are prose.
		if (/^\.S[sh] (.*)/) {
			($section) = $of->($1);
			@items = ();
		} elsif (/^\.It Cm (\w+) No = /) {
			push @items, $1;
			$got{$section}{$1} //= '';
		} elsif (@items && /^\.(?:Li|Cm) (.*?)(?: [.,;])?$/) {
			my $value = $1;
			$value =~ s/\\\(dq/"/g;
			$value =~ s/ [.;,]$//;
			$got{$section}{$_} = $value for @items;
			@items = ();
		} elsif (@items && !/^\.(?:Sy Default|It )/) {
			@items = ();
		}
	}
	return \%got;
}

# The options that a configuration file sets, also in comments: lists of
# [section, name, value].
sub
configured {
	my ($text) = @_;
	my @got;
	my $section = '';

	for (split /\n/, $text) {
		s/^#(?! )//;
		if (/^(\w+)(?: "[^"]*")? \{$/) {
			$section = $1;
		} elsif (/^\}/) {
			$section = '';
		} elsif (/^\s*(\w+)\s*= (.*)/) {
			push @got, [$section, $1, $2];
		}
	}
	return @got;
}

my %sections = map { $_ => 1 } qw(log score repeat level firewall redis notify);
my $conf = documented($pages[2], sub {
	my ($word) = $_[0] =~ /^(\w+)/;
	return $sections{$word} && $_[0] !~ /^[A-Z]/ ? $word : '';
});
my $rules = documented($pages[3], sub {
	return $_[0] eq 'Changing a rule' ? 'tune' : 'rule';
});
my @options = configured(slurp("$src/conf/mxwarden.conf"));

cmp_ok(scalar @options, '>', 40, 'options in conf/mxwarden.conf');
for (@options) {
	my ($section, $name, $value) = @$_;
	my $page = $section eq 'tune' ? $rules : $conf;
	my $shown = $page->{$section}{$name};
	my $what = $section eq '' ? $name : "$section.$name";

	ok(defined $shown, "$what is in the manual") or next;
	next if $section =~ /^(?:log|level|tune)$/ || $name eq 'helper';
	is($shown, $value, "$what has the same default in both");
}

# The table in the program is complete in both.
{
	my $table = slurp("$src/lib/core/conf_schema.c");
	my %set = map { ("$_->[0].$_->[1]" => 1) } @options;
	my $n = 0;

	while ($table =~ /^\t\{ "(\w*)", "(\w+)", CONF_/mg) {
		my ($section, $name) = ($1, $2);
		my $page = $section =~ /^(?:rule|tune)$/ ? $rules : $conf;

		$n++;
		ok(defined $page->{$section}{$name},
		    "option '$section.$name' of the program is in the manual");
		next if $section eq 'rule';
		ok($set{"$section.$name"},
		    "option '$section.$name' is in conf/mxwarden.conf");
	}
	cmp_ok($n, '>', 40, 'options of the program');
}

# What the manuals tell of is an option.
{
	my %known;
	my $table = slurp("$src/lib/core/conf_schema.c");

	$known{"$1.$2"} = 1 while $table =~ /^\t\{ "(\w*)", "(\w+)", CONF_/mg;
	for my $page ($conf, $rules) {
		for my $section (sort keys %$page) {
			ok($known{"$section.$_"},
			    "'$section.$_' of the manual is an option")
			    for sort keys %{$page->{$section}};
		}
	}
}

# The program reads the sample configuration and the examples of the manual.
{
	my ($status, $out) = run_cmd(program('mxwarden'), '-c',
		"$src/conf/mxwarden.conf", 'check');
	is($status, 0, 'the sample configuration is sound');

	# Sendmail's, installed beside the rules, and the example of its README.
	my $sendmail = tmp_dir() . '/sendmail.conf';
	spew($sendmail, slurp("$src/contrib/sendmail/mxwarden.conf") =~
	    s{"rules\.d/}{"$src/conf/rules.d/}r,
	    q{helper = "} . program(q{mxwarden-priv}) . qq{"\n});
	($status, $out, my $err) = run_cmd(program('mxwarden'), '-c', $sendmail,
		'check');
	is($status, 0, 'contrib/sendmail/mxwarden.conf is sound') or diag($err);
	my ($line) = slurp("$src/contrib/sendmail/README") =~
	    /^    mxwarden explain '(.*)'$/m;
	($status, $out) = run_cmd(program('mxwarden'), '-c', $sendmail,
		'explain', $line);
	like($out, qr/^rule +sendmail-auth-failed/m, 'its example');

	my ($rule) = slurp($pages[3]) =~
	    /^(rule "webmail-login" \{.*?)^\.Ed/ms;
	$rule =~ s/\\e/\\/g;
	spew(tmp_dir() . '/rule.conf', $rule);
	($status, $out) = run_cmd(program('mxwarden'), '--json', '-c',
		tmp_dir() . '/rule.conf', 'explain', 'Dec 14 09:58:37 www ' .
		'webmail[1]: bad login for x from 192.0.2.1 port 4711');
	is($status, 0, 'the rule in mxwarden-rules(5) matches');
	like($out, qr/"address": "192\.0\.2\.1"/, '... and finds the address');

	my ($levels) = slurp($pages[2]) =~
	    /^(level "slow" \{.*?)^\.Ed/ms;
	spew(tmp_dir() . '/levels.conf', $levels);
	($status, $out) = run_cmd(program('mxwarden'), '-c',
		tmp_dir() . '/levels.conf', 'check');
	is($status, 0, 'the levels in mxwarden.conf(5) are sound');
}

# --- Commands -----------------------------------------------------------------

# The long options of a --help text.
sub
long_options {
	my ($text) = @_;
	my @got;

	push @got, [$1, $2]
	    while $text =~ /^ +(?:-(\w), |   )? *--([a-z-]+)/mg;
	return @got;
}

{
	my $page = slurp($pages[1]);
	my (undef, $help) = run_cmd(program('mxwarden'), '--help');
	my @verbs = $help =~ /^  (\w+)  /mg;
	my %json = map { $_ => 1 } slurp($pages[1]) =~ /^\.It Cm (\w+)/mg;

	cmp_ok(scalar @verbs, '>=', 14, 'verbs of mxwarden');
	for my $verb (@verbs) {
		my (undef, $text) = run_cmd(program('mxwarden'), $verb,
			'--help');

		like($page, qr/^\.It Cm \Q$verb\E\b/m,
		    "verb $verb is in mxwarden(8)");
		for (long_options($text)) {
			my ($short, $long) = @$_;
			ok($page =~ /Fl -\Q$long\E\b/ || defined $short &&
			    $page =~ /Fl $short\b/,
			    "option --$long of $verb is in mxwarden(8)");
		}
	}

	(undef, $help) = run_cmd(program('mxwardend'), '--help');
	$page = slurp($pages[0]);
	my @options = long_options($help);
	cmp_ok(scalar @options, '>=', 6, 'options of mxwardend');
	like($page, qr/^\.It Fl $_->[0] , -\Q$_->[1]\E\b/m,
	    "option --$_->[1] is in mxwardend(8)") for @options;
}

# --- Metrics ------------------------------------------------------------------

{
	my $port = free_port();
	my $d = MxwardenTest::Daemon->new(conf => {
		http => "127.0.0.1:$port" });
	my $s = wait_for {
		IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port)
	} 10, 'the metrics';
	print {$s} "GET /metrics HTTP/1.0\r\n\r\n";
	$s->flush;
	my %told = map { $_ => 1 } slurp($pages[0]) =~
	    /^\.It Li (mxwarden_\w+)/mg;
	my %given = map { $_ => 1 } do { local $/; <$s> } =~
	    /^# HELP (\w+)/mg;

	cmp_ok(scalar keys %given, '>', 20, 'metrics');
	ok($told{$_}, "$_ is in mxwardend(8)") for sort keys %given;
	ok($given{$_}, "$_ of mxwardend(8) exists") for sort keys %told;
	$d->stop;
}

# --- README and ARCHITECTURE ----------------------------------------------------

for my $doc (qw(README ARCHITECTURE contrib/exim/README contrib/postfix/README
    contrib/sendmail/README)) {
	my $text = slurp("$src/$doc");
	my %seen;

	for my $path ($text =~
	    m{(?<![\w/.\$-])((?:t|conf|contrib|lib|policyd|man|\.ci)/[\w./-]*)}g) {
		$path =~ s/\.$//;
		next if $seen{$path}++ || $path =~ /NAME|\.\./;
		ok(-e "$src/$path", "$doc: $path exists");
	}
	cmp_ok(scalar keys %seen, '>=', 1, "$doc names files");
}

{
	my $readme = slurp("$src/README");
	my ($line) = slurp("$src/contrib/postfix/main.cf.rcpt") =~
	    /(check_policy_service \{.*\})/;
	my (undef, $usage) = run_cmd("$src/bootstrap", '--help');
	my ($files) = $readme =~ /^Files\n-+\n(.*)/ms;

	ok(index($readme, $line) > 0, 'README has the line of main.cf.rcpt');
	for my $verb ($usage =~ m{\./bootstrap (\w+)}g) {
		next if $verb !~ /^(?:run|check|deps|autogen)$/;
		like($readme, qr{\./bootstrap $verb\b},
		    "README tells of ./bootstrap $verb");
	}
	ok(-e "$src/$1", "README, Files: $1 exists")
	    while $files =~ /^    (\S+)(?:  | \S+\/  )/mg;
	for my $name ($readme =~ /(?<![\w-])(--[a-z]+-?[a-z]+)/g) {
		next if $name !~ /^--(?:enable|disable)-/;
		my $feature = $name =~ s/^--(?:enable|disable)-//r;
		like(slurp("$src/configure.ac"),
		    qr/AC_ARG_ENABLE\(\[\Q$feature\E\]/,
		    "README: configure has $name");
	}
}

# Every module is told of.
{
	my $text = slurp("$src/ARCHITECTURE");
	my @files = map { s{^\Q$src\E/}{}r } map { glob "$src/$_/*.c" }
	    qw(lib/core lib/io policyd/daemon policyd/priv policyd/ctl);

	cmp_ok(scalar @files, '>', 60, 'modules');
	for my $file (@files) {
		my ($dir, $name) = $file =~ m{(\w+)/(\w+)\.c$};
		my $entry = $file =~ /^lib/ ? $name : "$dir/$name";

		ok($text =~ /^  \Q$entry\E  ?/m || $text =~ /\b$name\.c\b/,
		    "ARCHITECTURE tells of $file");
	}
}

done_testing;
