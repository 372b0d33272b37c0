# iptables, ip6tables and ipset with real packets: see MxwardenTest::Firewall.
use strict;
use warnings;

use Test::More;

use MxwardenTest;
use MxwardenTest::Firewall;

MxwardenTest::Firewall->enter(qw(iptables ip6tables ipset postfix dovecot));
my $net = MxwardenTest::Firewall->new;

sub
out {
	my ($status, $out, $err) = run_cmd(@_);

	die "@_: $err" if $status != 0;
	return $out;
}

sub
listing {
	return join '', map { out($_, '-S') } qw(iptables ip6tables);
}

sub
ours {
	my @ours = listing() =~ /^-A .*--match-set mxwarden[46] /mg;
	my ($status, $sets) = run_cmd(qw(ipset list -n));

	# Sets without rules would be left over, too.
	return @ours ? scalar @ours : $sets =~ /mxwarden/ ? -1 : 0;
}

# Two rules, one of them with a set and a comment, where they are not yet.
my $foreign = <<'EOT';
ipset -exist create foreign4 hash:ip
iptables -C INPUT -s 198.18.0.0/15 -j DROP 2>/dev/null ||
    iptables -A INPUT -s 198.18.0.0/15 -j DROP
set -- INPUT -m set --match-set foreign4 src -m comment \
    --comment 'not -A mxwarden4 src foreign' -j DROP
iptables -C "$@" 2>/dev/null || iptables -A "$@"
EOT

for my $verdict (qw(timeout refused)) {
	note("verdict: $verdict");
	$net->test_backend({
		name => 'iptables',
		verdict => $verdict,
		short => $verdict eq 'refused',
		listing => \&listing,
		ours => \&ours,
		n_ours => 2,
		foreign => [['sh', '-c', $foreign]],
		destroy => [
			['iptables -F', [qw(iptables -F)], [qw(ip6tables -F)]],
			['a rule less', [qw(ip6tables -D INPUT 1)]],
			['a duplicate', ['sh', '-c', 'iptables $(iptables -S ' .
				'INPUT | grep -m1 mxwarden4)']],
			['ipset destroy', [qw(iptables -F)], [qw(ip6tables -F)],
				[qw(ipset destroy mxwarden4)],
				[qw(ipset destroy mxwarden6)]],
			['an emptied set', [qw(ipset flush mxwarden4)],
				[qw(ipset flush mxwarden6)]],
		],
		intrude => [qw(ipset add mxwarden4 198.51.100.18 timeout 3600)],
	});
}
done_testing;
