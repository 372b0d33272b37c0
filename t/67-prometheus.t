#!/usr/bin/perl
# /metrics and what is made for it: promtool accepts it, a real Prometheus
# scrapes it and counts the blocks, and the alert rules and the dashboard of
# contrib ask for nothing that is not there.
use strict;
use warnings;

use IO::Socket::IP;
use JSON::PP ();
use MxwardenTest;
use Test::More;

need(programs => [qw(promtool prometheus)]);

my $http = free_port();
my $port = free_port();
my $alerts = src_dir() . '/contrib/prometheus/alerts.yml';
my $dashboard = src_dir() . '/contrib/grafana/mxwarden.json';
my $json = JSON::PP->new;

# The body of an answer, or nothing if nobody answers.
sub
get {
	my ($where, $path) = @_;
	my $s = IO::Socket::IP->new(PeerHost => '127.0.0.1',
		PeerPort => $where, Timeout => 10) or return;

	print {$s} "GET $path HTTP/1.0\r\n\r\n";
	local $/;
	my $text = <$s> // '';
	return $text =~ /\AHTTP\S+ \d+.*?\r\n\r\n(.*)\z/s ? $1 : undef;
}

sub
query {
	my ($expr) = @_;

	$expr =~ s/([^A-Za-z0-9_.-])/sprintf '%%%02X', ord $1/ge;
	my $text = get($port, "/api/v1/query?query=$expr") // '';
	# It says in plain text that it is not ready.
	return if $text !~ /\A\{/;
	my $got = $json->decode($text);
	return ($got->{status} // '') eq 'success' ?
	    $got->{data}{result} : $got->{error};
}

# The one value of an expression, or nothing.
sub
value {
	my $got = query($_[0]);

	return $got && ref $got && @$got == 1 ? $got->[0]{value}[1] : undef;
}

my $d = MxwardenTest::Daemon->new(conf => { http => "127.0.0.1:$http" });
$d->ctl('block', "192.0.2.$_", '-l', 'reject') for 1 .. 5;
$d->ctl('block', '2001:db8:7::/64', '-l', 'defer');
$d->ask(client_address => '192.0.2.1');

# --- The text ------------------------------------------------------------------

my $metrics = get($http, '/metrics');
my ($status, $out, $err);
{
	my $file = tmp_dir() . '/metrics';
	spew($file, $metrics);
	($status, $out, $err) = run_cmd('sh', '-c',
		'promtool check metrics <"$1"', 'sh', $file);
	is("$status$out$err", '0', 'promtool has nothing to say about /metrics');
}

# --- A real Prometheus ----------------------------------------------------------

($status, $out, $err) = run_cmd('promtool', 'check', 'rules', $alerts);
is($status, 0, 'promtool accepts the alert rules') or diag("$out$err");

my $dir = tmp_dir() . '/prometheus';
mkdir $dir or die "mkdir $dir: $!";
spew("$dir/prometheus.yml", <<"EOT");
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [ "$alerts" ]
scrape_configs:
  - job_name: mxwarden
    static_configs: [ { targets: [ "127.0.0.1:$http" ] } ]
EOT
my $prometheus = spawn(name => 'prometheus', cmd => ['prometheus',
	"--config.file=$dir/prometheus.yml", "--storage.tsdb.path=$dir/data",
	"--web.listen-address=127.0.0.1:$port"]);

wait_for { (value('sum(mxwarden_blocked)') // '') eq '6' } 60,
    'Prometheus to know six blocks';
is(value('mxwarden_blocked{level="reject"}'), 5, 'five of them at reject');
is(value('mxwarden_blocked{level="defer"}'), 1, 'one at defer');
is(value('mxwarden_policy_requests_total{verdict="blocked"}'), 1,
    'one request was refused');
is(value('mxwarden_policy_answer_seconds_count'), 1, 'and its time taken');
$d->ctl('unblock', '192.0.2.5');
wait_for { value('sum(mxwarden_blocked)') eq '5' } 30,
    'Prometheus to hear that one was lifted';
pass('one that is lifted is no longer counted');

# --- Alerts and dashboard -------------------------------------------------------

my @rules = map { @{$_->{rules}} } @{$json->decode(
	get($port, '/api/v1/rules'))->{data}{groups}};
wait_for {
	@rules = map { @{$_->{rules}} } @{$json->decode(
		get($port, '/api/v1/rules'))->{data}{groups}};
	!grep { $_->{health} eq 'unknown' } @rules;
} 30, 'the alert rules to be evaluated';
cmp_ok(scalar @rules, '>=', 10, 'alert rules');
is_deeply([map { $_->{name} } grep { $_->{health} ne 'ok' } @rules], [],
    'each can be evaluated');
is_deeply([map { $_->{name} } grep { $_->{state} eq 'firing' } @rules], [],
    'none fires for a daemon that is well');

my %known = map { $_ => 1 } $metrics =~ /^(?:# TYPE )?(mxwarden_\w+)/mg;
for my $file ($alerts, $dashboard) {
	my %unknown = map { $_ => 1 } grep { !$known{$_} }
	    slurp($file) =~ /\b(mxwarden_\w+)/g;

	is_deeply([sort keys %unknown], [], "$file: every metric exists");
}

my @panels = grep { $_->{targets} } @{$json->decode(slurp($dashboard))->{panels}};
cmp_ok(scalar @panels, '>', 10, 'panels');
for my $panel (@panels) {
	for my $target (@{$panel->{targets}}) {
		(my $expr = $target->{expr}) =~ s/\$__rate_interval/1m/g;
		$expr =~ s/\$instance/.*/g;
		ok(ref query($expr), "$panel->{title}: Prometheus understands it")
		    or diag("$expr: " . query($expr));
	}
}

$d->kill9;
wait_for { (value('up{job="mxwarden"}') // '') eq '0' } 30,
    'Prometheus to miss the daemon';
wait_for {
	get($port, '/api/v1/alerts') =~ /"alertname":"MxwardenDown"/;
} 30, 'the alert for it';
pass('the alert for a daemon that is away is pending');
$prometheus->stop;
done_testing;
