# nftables with real packets: see MxwardenTest::Firewall.
use strict;
use warnings;

use Test::More;

use MxwardenTest;
use MxwardenTest::Firewall;

MxwardenTest::Firewall->enter(qw(nft postfix dovecot));
my $net = MxwardenTest::Firewall->new;

sub
nft {
	my ($status, $out, $err) = run_cmd('nft', @_);

	die "nft @_: $err" if $status != 0;
	return $out;
}

sub
ours {
	my ($status, $out) = run_cmd(qw(nft list table inet mxwarden));

	return 0 if $status != 0;
	# Four sets of the lengths for scoring, here as many as there are.
	my @rules = $out =~ /(saddr .*goto refuse|jump offenders)/g;
	my @sets = $out =~ /^\tset /mg;
	return @rules - @sets;
}


for my $verdict (qw(timeout refused)) {
	note("verdict: $verdict");
	$net->test_backend({
		name => 'nftables',
		verdict => $verdict,
		short => $verdict eq 'refused',
		listing => sub { nft(qw(list ruleset)) },
		ours => \&ours,
		n_ours => 1,
		# Only where they are not.
		foreign => [['sh', '-c', <<'EOT']],
nft list table inet foreign >/dev/null 2>&1 || nft -f - <<'END'
table inet foreign {
	chain input {
		type filter hook input priority 0; policy accept;
		ip saddr 198.18.0.0/15 drop
	}
}
END
EOT
		destroy => [
			['nft flush ruleset', [qw(nft flush ruleset)]],
			['deletion of our table',
				[qw(nft delete table inet mxwarden)]],
			['a rule less',
				[qw(nft flush chain inet mxwarden offenders)]],
			['no hook',
				[qw(nft flush chain inet mxwarden input)]],
			['another rule', [qw(nft insert rule inet mxwarden
				input tcp dport 1-65535 accept)]],
			['an emptied set',
				[qw(nft flush set inet mxwarden v4_32)],
				[qw(nft flush set inet mxwarden v6_48)]],
		],
		intrude => [qw(nft add element inet mxwarden v4_32),
			'{ 198.51.100.18 timeout 1h }'],
	});
}
done_testing;
