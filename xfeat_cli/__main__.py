from xfeat_cli.cli.app import main

main()
